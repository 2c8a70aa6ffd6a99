"""HTTP/1.1 requests with one deadline over the whole exchange and a bound on its bytes.

The timeouts of HTTP clients hold for each read: a peer that sends a byte now and then never meets one.
Here every wait, from the name's look-up to the body's last byte, takes what is left of the exchange's time.
Nothing is decompressed and no redirect is followed.
"""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from ssl import SSLContext
from typing import Any

import httpcore2
import httpx2

from agent.http.bounds import (
    CONNECT_SECONDS,
    MOST_BYTES,
    MOST_CONNECTIONS,
    MOST_HEAD_BYTES,
    MOST_PIECES,
    ByteBudget,
    TooLarge,
)

_WRITE_BYTES = 4096
"""Fits into the buffer of any socket that can be written to, so that one write waits once."""
_IDLE_SECONDS = 5.0


class NoAddress(ValueError):
    """A URL that leads nowhere; the text says why."""


class Unreachable(Exception):
    """No connection, one that broke, or no HTTP on it; the text says which."""


class TimeUp(Exception):
    """The time was over; the text says what the peer had not done by then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole; names of headers in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class _Exchange:
    """One request under way: what is left of its time and bytes."""

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
        """What the next waits are for, and the time that they have in all."""
        self._missing = missing
        self._within = self._seconds if most is None else min(self._seconds, most)

    def left(self, most: float | None = None) -> float:
        """Seconds that the next wait may take. Raises the timeout of httpcore2."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return left if most is None else min(left, most)

    def reads(self) -> None:
        """The request is written."""
        self.waits_for("did not begin its answer" if self._is_head else "did not end its answer")

    def body_begins(self) -> None:
        """The head of the answer is there."""
        self._is_head = False

    def moved(self, count: int, *, read: bool) -> None:
        """So many bytes were read or written. Raises TooLarge."""
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


_current: ContextVar[_Exchange] = ContextVar("exchange")


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the deadline of the exchange that uses it."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = _current.get()
        exchange.reads()
        found = self._inner.read(max_bytes, exchange.left())
        exchange.moved(len(found), read=True)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = _current.get()
        exchange.waits_for("did not take the request")
        for start in range(0, len(buffer), _WRITE_BYTES):
            piece = buffer[start : start + _WRITE_BYTES]
            self._inner.write(piece, exchange.left())
            exchange.moved(len(piece), read=False)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        exchange = _current.get()
        exchange.waits_for("did not complete the TLS handshake", timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, exchange.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    """Connections of one client."""

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
        exchange = _current.get()
        exchange.waits_for(f"has a name, {host!r}, that was not looked up", timeout)
        end = time.monotonic() + exchange.left(timeout)
        addresses = self._addresses(host, port, end - time.monotonic())
        exchange.waits_for("did not accept a connection", timeout)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            seconds = max(0.001, (end - time.monotonic()) / left)
            try:
                made = self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return _Stream(made)
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


class BoundedHttp:
    """Requests to one peer. Thread-safe. Raises NoAddress."""

    def __init__(self, url: str) -> None:
        try:
            self._url, self._base = url, httpx2.URL(url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise NoAddress(str(error)) from error
        port = self._base.port
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise NoAddress("it looks like http://127.0.0.1:18210")
        if port is not None and not 0 < port < 65536:
            raise NoAddress(f"port {port} is none of 1 to 65535")
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_trusted() if self._base.scheme == "https" else None,
            proxy=_proxy(self._base),
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=_Backend(),
        )

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[bytes, bytes],
        body: bytes | None,
        seconds: float,
        run: ByteBudget | None = None,
    ) -> Answer:
        """The answer to one request. Raises TimeUp, Unreachable, NoAddress, TooLarge."""
        exchange = _Exchange(seconds, run)
        held = _current.set(exchange)
        try:
            with self._pool.stream(
                method,
                self._target(path),
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": {"connect": CONNECT_SECONDS, "pool": seconds}},
            ) as response:
                exchange.body_begins()
                return Answer(response.status, _body(response), _headers(response))
        except httpcore2.TimeoutException as error:
            raise TimeUp(exchange.missing) from error
        except (httpcore2.NetworkError, httpcore2.ProxyError) as error:
            raise Unreachable(f"cannot be reached: {str(error) or type(error).__name__}") from error
        except httpcore2.ProtocolError as error:
            raise Unreachable(f"gave no HTTP answer: {error}") from error
        finally:
            _current.reset(held)

    def close(self) -> None:
        """Ends its connections."""
        self._pool.close()

    def _target(self, path: str) -> httpcore2.URL:
        url = httpx2.URL(self._url + path)
        return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _body(response: httpcore2.Response) -> bytes:
    body = bytearray()
    for number, chunk in enumerate(response.iter_stream()):
        body += chunk
        if len(body) > MOST_BYTES:
            raise TooLarge(f"the agent's answer has more than {MOST_BYTES} bytes")
        if number >= MOST_PIECES:
            raise TooLarge(f"the agent's answer comes in more than {MOST_PIECES} pieces")
    return bytes(body)


def _headers(response: httpcore2.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


@lru_cache(maxsize=1)
def _trusted() -> SSLContext:
    # reads the trust store, a tenth of a second
    return httpx2.create_ssl_context()


def _proxy(url: httpx2.URL) -> httpcore2.Proxy | None:
    """The proxy of this machine's environment for `url`."""
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if found is None or urllib.request.proxy_bypass(f"{url.host}:{url.port}" if url.port else url.host):
        return None
    proxy = httpx2.URL(found)
    auth = (proxy.username, proxy.password) if proxy.userinfo else None
    return httpcore2.Proxy(str(proxy.copy_with(userinfo=b"")), auth=auth)
