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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __package__:
    from examples.support_refund.run import Run, canonical
else:
    from run import Run, canonical  # type: ignore[import-not-found, no-redef]  # run as a script

HERE = Path(__file__).parent
MOST_BYTES = 4 * 1024 * 1024
CONTRACT_FIELDS = ("run_id", "decision", "seed", "budget", "tools_url", "tools_token")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


VERSION = {
    "agent": "support-refund",
    "agent_version": "1.0.0",
    "prompt_id": _sha256((HERE / "prompt.md").read_text(encoding="utf-8")),
    "toolset_id": _sha256(canonical(json.loads((HERE / "toolset.json").read_text(encoding="utf-8")))),
}


class Refused(Exception):
    """An answer that is an error: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


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
