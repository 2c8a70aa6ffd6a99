"""HTTP requests with one time limit for the whole answer and a limit on its size."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2


class NoAnswer(Exception):
    """No complete answer. The text says what the server did: "does not answer: ..."."""


class TooLarge(NoAnswer):
    """The answer is larger than allowed; `status` and `is_json` are from its head."""

    def __init__(self, text: str, status: int, is_json: bool) -> None:
        super().__init__(text)
        self.status = status
        self.is_json = is_json


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes
    location: str
    """Target of a redirect, which is never followed; empty where the answer is none."""


class BoundedHttp:
    """Requests to one server. Thread-safe; each request opens a connection of its own.

    The timeout of an HTTP library applies to each read, so a server that drips bytes blocks a caller for
    ever. Here it applies to the whole answer, headers included.
    """

    def __init__(self, *, seconds: float, most_bytes: int, auth: tuple[str, str] | None = None) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._client = httpx2.Client(
            auth=auth,
            # never compressed: a few compressed bytes can expand to any number
            headers={"Accept-Encoding": "identity"},
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=seconds,
            follow_redirects=False,
        )

    def ask(self, method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
        """Sends one request. Raises NoAnswer on every failure."""
        cut = _Cut()
        timer = threading.Timer(self._seconds, cut.now)
        timer.daemon = True
        try:
            timer.start()
            with self._client.stream(
                method, url, content=body, headers=headers, extensions={"trace": cut.trace}
            ) as response:
                return self._read(response)
        except NoAnswer:
            raise
        except Exception as error:  # the libraries below raise many kinds of errors
            if cut.done or isinstance(error, httpx2.TimeoutException):
                raise NoAnswer(f"did not end its answer within {self._seconds:g} s") from error
            raise NoAnswer(f"does not answer: {str(error) or type(error).__name__}") from error
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    def _read(self, response: httpx2.Response) -> Answer:
        if (packed := response.headers.get("content-encoding", "identity")) != "identity":
            raise NoAnswer(f"answered with content encoding {packed!r}, which was not requested")
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._most_bytes:
                raise TooLarge(
                    f"answered more than {self._most_bytes} bytes",
                    response.status_code,
                    "json" in response.headers.get("content-type", ""),
                )
        return Answer(response.status_code, bytes(body), response.headers.get("location", ""))


class _Cut:
    """Shuts down the connection of a request, so that whatever waits for it ends."""

    def __init__(self) -> None:
        self.done = False
        self._socket: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Notes the connection; called by the HTTP library (request extension `trace`)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.done:
                self.now()

    def now(self) -> None:
        self.done = True
        if self._socket is not None:
            # it is closed already
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def without_password(url: str) -> str:
    """A URL as logs may show it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
