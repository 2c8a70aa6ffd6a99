"""A model server in Gemini's shape that reads once, then holds; it counts the runs that are bought of it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.media_buyer.definition import artifacts
from agent.run import AgentDefinition
from agent.runtime import turn_seed
from agent.spec import AgentSpec
from testkit import builders

LOOK = {"name": "get_insights", "description": "Figures.", "parameters": {"type": "object", "properties": {}}}
SPEC = b"""
name: media_buyer
version: "1"
actions: {hold: {description: Change nothing.}, scale_up: {description: Raise the budget.}}
tools: {get_insights: {effect: read, entity: entity_id}}
segment: all
"""
ARTIFACTS = artifacts(AgentDefinition(AgentSpec.parse(SPEC), builders.PROMPT, (LOOK,)), builders.EPOCH)
IDS = {
    field: one.artifact_id
    for field, one in zip(("prompt_id", "toolset_id", "spec_id"), ARTIFACTS, strict=True)
}
"""What a decision names, so that the real runtime runs it."""


class ModelServer(ThreadingHTTPServer):
    """Answers after `seconds`; `begun` has the seed of each run's first call, in order."""

    daemon_threads = True

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seconds = seconds
        self.begun: list[int] = []
        self._lock = threading.Lock()

    def parts(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The model's next turn."""
        if len(body["contents"]) == 1:
            with self._lock:
                self.begun.append(body["generationConfig"]["seed"])
            asked = {"entity_id": "c1", "date_preset": "last_7d"}
            return [{"functionCall": {"id": "1", "name": "get_insights", "args": asked}}]
        hold = {"name": "hold", "target": "c1", "arguments": {}}
        # two runs of one request are told apart
        said = {"rationale": f"Seen at {time.monotonic_ns()}.", "cited_metrics": [], "action": hold}
        return [{"text": json.dumps(said)}]

    def bought(self, replay_ids: list[str]) -> list[str]:
        """The replays whose runs were begun, once for each run."""
        known = {turn_seed(one, 0): one for one in replay_ids}
        return [known[seed] for seed in self.begun]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_POST(self) -> None:
        assert self.path.endswith(":generateContent"), self.path
        parts = self.server.parts(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        time.sleep(self.server.seconds)
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        answer = json.dumps({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def model_server(seconds: float) -> Iterator[ModelServer]:
    """A server that listens."""
    with ModelServer(seconds) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
