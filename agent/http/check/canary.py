"""A stand-in for the platform that the agent works on: every request that reaches it has bypassed opoi."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from agent.http.serving import serving

SHOWN = 100


@dataclass
class Canary:
    """Records the requests that reach it."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.requests.append(f"{request.method} {request.url.path}"[:SHOWN])
        await JSONResponse({"error": "this is opoi's canary, not your platform"}, 418)(scope, receive, send)


@contextmanager
def canary(port: int) -> Iterator[Canary]:
    """A canary on 127.0.0.1. Raises CannotListen."""
    made = Canary()
    with serving(made, port=port) as server:
        made.url = server.url
        yield made
