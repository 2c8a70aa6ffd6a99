"""An ASGI application in a thread of this process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 10.0


class CannotListen(OSError):
    """The address cannot be listened on; the text says which and why."""


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
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
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
        """Ends it; what it answers just now may still be answered."""
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
