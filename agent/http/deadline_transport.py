"""Connections whose every wait ends when the time of the request that uses them is over.

The HTTP library passes each wait a time of its own; here the deadline of the whole request replaces it.
"""

import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import httpcore2

from agent.http.bounds import MOST_BYTES, MOST_HEAD_BYTES, ByteBudget, TooLarge

_WRITE_BYTES = 4096
"""Fits into the buffer of any socket that can be written to, so that one write waits once."""


class NoAddress(ValueError):
    """A URL that cannot be used; the text says why."""


class OpenRequest:
    """A request and its answer in progress: what is left of its time and bytes."""

    def __init__(self, seconds: float, run: ByteBudget | None) -> None:
        self._seconds = seconds
        self._missing, self._within = "did not answer", seconds
        self._end = time.monotonic() + seconds
        self._run = run
        self._read = 0
        self._is_head = True

    @property
    def missing(self) -> str:
        """What the peer has not done."""
        return f"{self._missing} within {self._within:g} s"

    def waits_for(self, missing: str, most: float | None = None) -> None:
        """States what the next waits are for, and the time that they have in all."""
        self._missing = missing
        self._within = self._seconds if most is None else min(self._seconds, most)

    def left(self, most: float | None = None) -> float:
        """Seconds that the next wait may take. Raises the timeout of httpcore2."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return left if most is None else min(left, most)

    def reads(self) -> None:
        """The request is written; the next waits are for the answer."""
        self.waits_for("did not begin its answer" if self._is_head else "did not end its answer")

    def body_begins(self) -> None:
        """The head of the answer has arrived."""
        self._is_head = False

    def moved(self, count: int, *, read: bool) -> None:
        """Counts bytes that were read or written. Raises TooLarge."""
        if self._run is not None:
            self._run.take(count)
        if read:
            self._read += count
            # framing may double a body of small chunks
            most, where = (
                (MOST_HEAD_BYTES, "before its body")
                if self._is_head
                else (MOST_HEAD_BYTES + 2 * MOST_BYTES, "with its framing")
            )
            if self._read > most:
                raise TooLarge(f"the agent's answer has more than {most} bytes {where}")


current_request: ContextVar[OpenRequest] = ContextVar("current_request")
"""The request that this thread makes."""


class DeadlineStream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the deadline of the current request."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        request = current_request.get()
        request.reads()
        found = self._inner.read(max_bytes, request.left())
        request.moved(len(found), read=True)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        request = current_request.get()
        request.waits_for("did not take the request")
        for start in range(0, len(buffer), _WRITE_BYTES):
            piece = buffer[start : start + _WRITE_BYTES]
            self._inner.write(piece, request.left())
            request.moved(len(piece), read=False)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        request = current_request.get()
        request.waits_for("did not complete the TLS handshake", timeout)
        return DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, request.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineBackend(httpcore2.NetworkBackend):
    """Makes the connections of one client."""

    def __init__(self) -> None:
        self._inner = httpcore2.SyncBackend()
        self._lookup: Future[list[str]] | None = None
        self._lock = threading.Lock()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        request = current_request.get()
        request.waits_for(f"has a name, {host!r}, that was not looked up", timeout)
        end = time.monotonic() + request.left(timeout)
        addresses = self._addresses(host, port, end - time.monotonic())
        request.waits_for("did not accept a connection", timeout)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            seconds = max(0.001, (end - time.monotonic()) / left)
            try:
                made = self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return DeadlineStream(made)
        raise httpcore2.ConnectError(f"the name {host!r} has no address")

    def _addresses(self, host: str, port: int, seconds: float) -> list[str]:
        """The addresses of a name.

        Nothing can end a look-up that hangs, so it has a thread of its own and the client one at a time.
        """
        with self._lock:
            if self._lookup is None:
                self._lookup = Future()
                threading.Thread(
                    target=self._look_up, args=(self._lookup, host, port), name="look-up", daemon=True
                ).start()
            lookup = self._lookup
        try:
            return lookup.result(seconds)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error

    def _look_up(self, lookup: "Future[list[str]]", host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            lookup.set_exception(httpcore2.ConnectError(f"the name {host!r}: {error.strerror or error}"))
        except (UnicodeError, OverflowError) as error:
            lookup.set_exception(NoAddress(f"host {host[:64]!r}, port {port}: {error}"))
        else:
            lookup.set_result([str(address[0]) for *_, address in found])
        with self._lock:
            self._lookup = None
