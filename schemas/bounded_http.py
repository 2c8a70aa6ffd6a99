"""HTTP requests that end in time, each with an answer of bounded size or with none."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2


class NoAnswer(Exception):
    """There is no whole answer; the text says of the server what it did: "does not answer: ..."."""


class TooLarge(NoAnswer):
    """The answer has more bytes than are read; `status` and `is_json` are of its beginning."""

    def __init__(self, text: str, status: int, is_json: bool) -> None:
        super().__init__(text)
        self.status = status
        self.is_json = is_json


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole."""

    status: int
    body: bytes
    location: str
    """Where a redirect leads, which is never followed; empty where it is none."""


class BoundedHttp:
    """Asks one server. Thread-safe; each request has a connection of its own.

    A time limit of an HTTP library holds for each read, so a server that drips bytes keeps a caller for ever;
    here it holds for the whole answer, headers included.
    """

    def __init__(self, *, seconds: float, most_bytes: int, auth: tuple[str, str] | None = None) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._client = httpx2.Client(
            auth=auth,
            # never packed: few packed bytes can be any number of bytes
            headers={"Accept-Encoding": "identity"},
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=seconds,
            follow_redirects=False,
        )

    def ask(self, method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request. Raises NoAnswer, whatever goes wrong."""
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
        except Exception as error:  # the libraries below have many errors, and none of them is an answer
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
            raise NoAnswer(f"answered in {packed!r}, which was not asked for")
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
    """Shuts a request's connection down in the middle of whatever waits for it."""

    def __init__(self) -> None:
        self.done = False
        self._socket: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Learns of the connection; an extension of the HTTP library."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.done:
                self.now()

    def now(self) -> None:
        self.done = True
        if self._socket is not None:
            # it ended by itself in the meantime
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def without_password(url: str) -> str:
    """A URL as logs may show it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
