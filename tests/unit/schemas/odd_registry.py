"""A real HTTP server that answers a registry's questions with whatever a test says."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Script = Callable[[socket.socket, str], None]
"""Writes the answer to a request for a path."""


def http(body: bytes | str, status: int = 200, kind: str = "application/json", *headers: str) -> bytes:
    """A whole answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def answer(found: Any, status: int = 200) -> bytes:
    """A whole answer in JSON."""
    return http(json.dumps(found), status)


def unknown(code: int = 40403) -> bytes:
    """What a registry answers where it has no such schema."""
    return answer({"error_code": code, "message": "not found"}, 404)


def always(content: bytes) -> Script:
    """The same answer to everything."""
    return lambda connection, _: connection.sendall(content)


def by_path(**answers: bytes) -> Script:
    """The answer of the first name that stands in the path; `other` for the rest."""

    def script(connection: socket.socket, path: str) -> None:
        found = (content for name, content in answers.items() if name in path)
        connection.sendall(next(found, answers.get("other", b"")))

    return script


class OddRegistry(socketserver.ThreadingTCPServer):
    """Each connection has one request. `asked` are the requests' methods and paths."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: Script = always(b"")
        self.asked: list[str] = []

    def answers(self, script: Script | bytes) -> None:
        """From now on; what was asked before is forgotten."""
        self.script = script if callable(script) else always(script)
        self.asked = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}/apis"


class _Handler(socketserver.StreamRequestHandler):
    server: OddRegistry

    def handle(self) -> None:
        request = self.rfile.readline().decode().split()
        length = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        if request:
            self.server.asked.append(f"{request[0]} {request[1].removeprefix('/apis')}")
            # the client leaves where it has read enough
            with suppress(OSError):
                self.server.script(self.connection, request[1])


@contextmanager
def odd_registry() -> Iterator[OddRegistry]:
    """The server, for as long as it is used."""
    with OddRegistry() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
