"""An ASGI application in a thread of this process."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.http.bounds import EXCHANGE_SECONDS, HEAD_SECONDS, MOST_ACCEPTED

START_SECONDS = 10.0


class CannotListen(OSError):
    """Listening failed; the text has the address and the reason."""


class _Connection(H11Protocol):
    """A connection that is closed when its client is too slow, or when there are too many."""

    _began = 0.0
    _timer: asyncio.TimerHandle | None = None

    @property
    def _is_answering(self) -> bool:
        # before the first request `cycle` is None, whatever its type says
        return not getattr(self.cycle, "response_complete", True)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._limit(HEAD_SECONDS)
        if len(self.connections) > MOST_ACCEPTED:
            # close the connection that has been idle for longest
            silent = [one for one in self.connections if isinstance(one, _Connection)]
            min(silent, key=lambda one: (one._is_answering, one._began)).transport.abort()

    def data_received(self, data: bytes) -> None:
        was_answering = self._is_answering
        super().data_received(data)
        if self._is_answering and not was_answering:
            self._limit(EXCHANGE_SECONDS)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # the rest of a request that was answered early has the time of a new one
        self._limit(EXCHANGE_SECONDS if self._is_answering else HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _limit(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._began = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.transport.abort)


class Server:
    """Serves until `close`. `port` 0 takes a free one. Raises CannotListen."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0, *, name: str = "http") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError as error:
            self._listener.close()
            raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if family == socket.AF_INET6 else host}:{self.port}"
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            # any client could cause endless warnings
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # a daemon, so that a request that hangs does not keep a stopped process alive
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name=name, daemon=True
        )
        self._thread.start()
        end = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self._listener.close()
                raise CannotListen(f"the server on {host}:{self.port} did not start in {START_SECONDS:g} s")
            time.sleep(0.01)

    def wait(self) -> None:
        """Returns when the server has ended."""
        self._thread.join()

    def close(self) -> None:
        """Stops the server; answers in progress may still be sent."""
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._listener.close()


@contextmanager
def serving(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    """A server for as long as the block lasts. Raises CannotListen."""
    server = Server(app, host, port)
    try:
        yield server
    finally:
        server.close()
