"""HTTP/1.1 requests with one deadline over the whole exchange and a bound on its bytes.

The timeouts of HTTP clients hold for each read: a peer that sends a byte now and then never meets one.
Here every wait, from the name's look-up to the body's last byte, takes what is left of the exchange's time.
Nothing is decompressed and no redirect is followed.
"""

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ssl import SSLContext
from urllib.parse import urlsplit

import httpcore2
import httpx2

from agent.http.bounds import (
    CONNECT_SECONDS,
    MOST_BYTES,
    MOST_CONNECTIONS,
    MOST_PIECES,
    ByteBudget,
    TooLarge,
)
from agent.http.deadline_transport import DeadlineBackend, NoAddress, OpenRequest, current_request

_IDLE_SECONDS = 5.0


class Unreachable(Exception):
    """No connection, one that broke, or no HTTP on it; the text says which."""


class TimeUp(Exception):
    """The time limit was reached; the text says what the peer had not done by then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer; names of headers in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class BoundedHttp:
    """Requests to one peer. Thread-safe. Raises NoAddress."""

    def __init__(self, url: str) -> None:
        try:
            # the standard library refuses what httpx takes, such as a bracket alone
            urlsplit(url)
            self._url, self._base = url, httpx2.URL(url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise NoAddress(str(error)) from error
        port = self._base.port
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise NoAddress("it must look like http://127.0.0.1:18210")
        if port is not None and not 0 < port < 65536:
            raise NoAddress(f"port {port} is none of 1 to 65535")
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_trusted() if self._base.scheme == "https" else None,
            proxy=_proxy(self._base),
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=DeadlineBackend(),
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
        request = OpenRequest(seconds, run)
        held = current_request.set(request)
        try:
            with self._pool.stream(
                method,
                self._target(path),
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": {"connect": CONNECT_SECONDS, "pool": seconds}},
            ) as response:
                request.body_begins()
                return Answer(response.status, _body(response), _headers(response))
        except httpcore2.TimeoutException as error:
            raise TimeUp(request.missing) from error
        except (httpcore2.NetworkError, httpcore2.ProxyError) as error:
            raise Unreachable(f"cannot be reached: {str(error) or type(error).__name__}") from error
        except httpcore2.ProtocolError as error:
            raise Unreachable(f"gave no HTTP answer: {error}") from error
        finally:
            current_request.reset(held)

    def close(self) -> None:
        """Closes the connections."""
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
