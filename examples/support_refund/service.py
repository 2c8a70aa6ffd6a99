"""The support-refund agent over HTTP, in nothing but the standard library: `python service.py --port 18220`.

It keeps the contract of opoi without a line of opoi's code, so it can be read as a guide for any language.
Every tool of a run is called at the run's own `tools_url`; there is no other way to the shop in here.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __package__:
    from examples.support_refund import policy
else:
    import policy  # type: ignore[import-not-found, no-redef]

HERE = Path(__file__).parent
MOST_BYTES = 4 * 1024 * 1024
CONTRACT_FIELDS = ("run_id", "decision", "seed", "budget", "tools_url", "tools_token")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    # RFC 8785 as long as there are no fractions and the names are ASCII, as here
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


VERSION = {
    "agent": "support-refund",
    "agent_version": "1.0.0",
    "prompt_id": _sha256((HERE / "prompt.md").read_text(encoding="utf-8")),
    "toolset_id": _sha256(_canonical(json.loads((HERE / "toolset.json").read_text(encoding="utf-8")))),
}


class Refused(Exception):
    """An answer that is an error: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Ended(Exception):
    """The run ends without a decision: status, reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Run:
    """One run, in a thread of its own."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.trace: dict[str, Any] | None = None
        self.cancelled = threading.Event()
        self.turns: list[dict[str, Any]] = []
        self.model_turns = 0
        self.tool_calls = 0
        self.words = 0
        self.end = time.monotonic() + request["budget"]["max_seconds"]

    def status(self) -> dict[str, Any]:
        """The contract's RunStatus."""
        state = "running" if self.trace is None else "ended"
        return {"run_id": self.request["run_id"], "state": state, "trace": self.trace}

    def go(self) -> None:
        """The whole run."""
        found: dict[str, Any] = {"status": "completed"}
        try:
            first = self._first_turn()
            self.turns.append(first)
            texts = [part["text"] for part in first["parts"]]
            decided = policy.decide(texts, self.request["seed"], self._ask)
            self._carry_out(decided)
            action = {
                "name": decided.action,
                "target": decided.target,
                "arguments_json": _canonical(decided.arguments),
            }
            found |= {"action": action, "rationale": decided.rationale}
        except Ended as ended:
            found = {"status": ended.status, "reason": str(ended)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and says so
            found = {"status": "failed", "reason": f"the agent failed ({type(error).__name__})"}
        self.trace = {
            "run_id": self.request["run_id"],
            "decision_id": self.request["decision"]["decision_id"],
            "turns": self.turns,
            "usage": {
                "model_calls": self.model_turns,
                "tool_calls": self.tool_calls,
                "output_tokens": self.words,
            },
            "attempts": self.model_turns,
        } | found
        self._call_back()

    def _first_turn(self) -> dict[str, Any]:
        """The question, and the oracle where it was asked for and nowhere else."""
        question = self.request["decision"]["question"]
        parts = list(question["parts"])
        if (oracle := self.request.get("oracle")) is not None:
            parts.insert(oracle["part"], {"kind": "text", "text": oracle["text"], "is_oracle": True})
        return {"role": question["role"], "parts": parts}

    def _model_turn(self, *parts: dict[str, Any]) -> None:
        budget = self.request["budget"]
        if self.cancelled.is_set():
            raise Ended("cancelled", "the run was cancelled")
        if time.monotonic() >= self.end:
            raise Ended("exhausted", f"max_seconds: {budget['max_seconds']:g} s are over")
        if self.model_turns >= budget["max_turns"]:
            raise Ended("exhausted", f"max_turns: {self.model_turns} turns are used")
        words = sum(len((part.get("text") or part.get("arguments_json") or "").split()) for part in parts)
        if self.words + words > budget["max_output_tokens"]:
            raise Ended("exhausted", f"max_output_tokens: {self.words} are used")
        self.model_turns += 1
        self.words += words
        self.turns.append({"role": "model", "parts": list(parts), "finish_reason": "STOP"})

    def _ask(self, calls: list[tuple[str, dict[str, Any]]], *said: dict[str, Any]) -> list[policy.Answer]:
        """One turn of calls and the turn of their answers."""
        ids = [f"call-{self.tool_calls + number}" for number in range(len(calls))]
        asked = [
            {
                "kind": "function_call",
                "call_id": call_id,
                "tool": tool,
                "arguments_json": _canonical(arguments),
            }
            for call_id, (tool, arguments) in zip(ids, calls, strict=True)
        ]
        self._model_turn(*said, *asked)
        self.tool_calls += len(calls)
        parts = [
            self._call(call_id, tool, arguments)
            for call_id, (tool, arguments) in zip(ids, calls, strict=True)
        ]
        self.turns.append({"role": "user", "parts": parts})
        return [json.loads(part["response_json"]) if part.get("response_json") else None for part in parts]

    def _call(self, call_id: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call through opoi; its answer is a part that goes into the next turn as it is."""
        body = {"call_id": call_id, "tool": tool, "arguments": arguments}
        try:
            part: dict[str, Any] = self._post(self.request["tools_url"], body)
        except (OSError, ValueError) as error:
            if time.monotonic() >= self.end:
                raise Ended("exhausted", "max_seconds: a tool did not answer in time") from error
            raise Ended("failed", f"{tool} could not be asked ({type(error).__name__})") from error
        return part

    def _carry_out(self, decided: policy.Decision) -> None:
        said = {"kind": "text", "text": f"{decided.rationale} Decision: {decided.action}."}
        if decided.write is None:
            self._model_turn(said)
            return
        self._ask([decided.write], said)
        self._model_turn({"kind": "text", "text": "That is done."})

    def _call_back(self) -> None:
        if self.request.get("callback_url") and not self.cancelled.is_set():
            # where nobody listens any more the status was polled, or will be
            with contextlib.suppress(OSError, ValueError):
                self._post(self.request["callback_url"], self.status())

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.request['tools_token']}",
        }
        left = max(0.1, self.end - time.monotonic())
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=min(left, 60.0)) as answer:
            return json.loads(answer.read() or b"null")


class Runs:
    """The runs of this process, by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def start(self, request: dict[str, Any]) -> Run:
        """The run with this id: the one there is, or a new one. Raises Refused."""
        with self._lock:
            known = self._runs.get(request["run_id"])
            if known is not None:
                if known.request != request:
                    raise Refused(409, "run_conflict", "another body was sent under this run_id")
                return known
            differ = [name for name, ours in VERSION.items() if request["decision"].get(name) != ours]
            if differ:
                raise Refused(409, "version_skew", f"{', '.join(differ)} is not what runs here")
            run = self._runs[request["run_id"]] = Run(request)
        threading.Thread(target=run.go, daemon=True).start()
        return run

    def get(self, run_id: str) -> Run:
        """The run with this id. Raises Refused."""
        try:
            return self._runs[run_id]
        except KeyError:
            raise Refused(404, "unknown_run", "there is no such run") from None


class Handler(BaseHTTPRequestHandler):
    """The contract's three requests."""

    protocol_version = "HTTP/1.1"
    runs: Runs

    def do_POST(self) -> None:
        """Start a run."""
        self._answered(self._start)

    def do_GET(self) -> None:
        """How a run stands."""
        self._answered(lambda: (200, self.runs.get(self._run_id()).status()))

    def do_DELETE(self) -> None:
        """A run is not wanted any more."""
        self._answered(self._cancel)

    def _start(self) -> tuple[int, dict[str, Any] | None]:
        body = self._body()
        if self.path != "/v1/runs":
            raise Refused(404, "unknown_run", f"there is no {self.path}")
        status = self.runs.start(body).status()
        return (202 if status["trace"] is None else 200), status

    def _cancel(self) -> tuple[int, dict[str, Any] | None]:
        # a run that is not known needs no stopping
        with contextlib.suppress(Refused):
            self.runs.get(self._run_id()).cancelled.set()
        return 204, None

    def _run_id(self) -> str:
        return self.path.removeprefix("/v1/runs/")

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self.close_connection = True
            raise Refused(413, "too_large", f"more than {MOST_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise Refused(400, "invalid", f"the body is no JSON: {error}") from error
        missing = [name for name in CONTRACT_FIELDS if not isinstance(body, dict) or name not in body]
        if missing:
            raise Refused(400, "invalid", f"the body lacks {', '.join(missing)}")
        found: dict[str, Any] = body
        return found

    def _answered(self, handle: Any) -> None:
        try:
            status, body = handle()
        except Refused as refused:
            status, body = refused.status, {"code": refused.code, "message": str(refused)}
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


def server(host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server that is not serving yet; its runs are its own."""
    handler = type("BoundHandler", (Handler,), {"runs": Runs()})
    made = ThreadingHTTPServer((host, port), handler)
    made.daemon_threads = True
    return made


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The support-refund agent over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18220)
    options = parser.parse_args()
    with server(options.host, options.port) as serving:
        sys.stderr.write(f"support-refund is served at http://{options.host}:{serving.server_port}\n")
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            sys.stderr.write("stopped\n")


if __name__ == "__main__":
    main()
