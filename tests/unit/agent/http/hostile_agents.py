"""Agents that speak HTTP as it is not meant to be spoken: one raw answer each, on a real local socket."""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from agent.http.bounds import MOST_BYTES

BEAT = 0.05
"""Seconds between two bytes of one that drips."""
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Talk:
    """One request, and the way to answer it."""

    def __init__(self, connection: socket.socket, head: bytes, body: bytes, over: threading.Event) -> None:
        self.head = head
        self.body = body
        self.over = over
        self._connection = connection

    @property
    def run_id(self) -> str:
        if self.body:
            return str(json.loads(self.body)["run_id"])
        return self.head.split(b" ")[1].decode().rpartition("/")[2]

    def says(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._connection.sendall(piece)

    def drips(self, text: bytes) -> None:
        """A byte now and then; the last one over and over."""
        for position in range(len(text) * 1000):
            if self.over.wait(BEAT):
                return
            self.says(text[min(position, len(text) - 1) :][:1])

    def floods(self, piece: bytes) -> None:
        """The same without an end."""
        many = piece * (65536 // len(piece) + 1)
        while not self.over.is_set():
            self.says(many)

    def answers(self, body: bytes, head: bytes = OK) -> None:
        self.says(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def status(self, **fields: Any) -> bytes:
        return json.dumps({"run_id": self.run_id, "state": "running"} | fields).encode()

    def ended(self, **trace: Any) -> bytes:
        told = {"run_id": self.run_id, "decision_id": "d1", "status": "completed"} | trace
        return self.status(state="ended", trace=told)

    def is_silent(self) -> None:
        self.over.wait(60)


Handler = Callable[[Talk], None]


@contextmanager
def raw_agent(handler: Handler) -> Iterator[str]:
    """The address of an agent that answers every request so."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=_accept, args=(listener, handler, over), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, handler: Handler, over: threading.Event) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, handler, over), daemon=True).start()


def _serve(connection: socket.socket, handler: Handler, over: threading.Event) -> None:
    # what a client that has had enough leaves behind is no error here
    with connection, suppress(OSError):
        reader = connection.makefile("rb")
        while True:
            head = b"".join(iter(lambda: reader.readline().strip(b"\r\n") + b"\n", b"\n"))
            if not head:
                return
            sizes = [line for line in head.splitlines() if line.lower().startswith(b"content-length:")]
            body = reader.read(int(sizes[0].split(b":")[1])) if sizes else b""
            handler(Talk(connection, head, body, over))


def drips_its_status(talk: Talk) -> None:
    talk.drips(OK.strip())


def drips_its_headers(talk: Talk) -> None:
    talk.says(OK)
    talk.drips(b"X-Slow: " + b"a" * 9)


def drips_interim_answers(talk: Talk) -> None:
    talk.drips(b"HTTP/1.1 102 Processing\r\n\r\n" * 9)


def drips_its_body(talk: Talk) -> None:
    talk.says(OK + b"Content-Length: 100000\r\n\r\n")
    talk.drips(b" ")


def drips_chunks(talk: Talk) -> None:
    talk.says(CHUNKED)
    while not talk.over.wait(BEAT):
        talk.says(b"1\r\n \r\n")


def says_nothing(talk: Talk) -> None:
    talk.is_silent()


def stops_in_its_body(talk: Talk) -> None:
    talk.says(OK + b"Content-Length: 100\r\n\r\n{")
    talk.is_silent()


DRIPPING: tuple[tuple[Handler, str], ...] = (
    (drips_its_status, "did not begin its answer within"),
    (drips_its_headers, "did not begin its answer within"),
    (drips_interim_answers, "did not begin its answer within"),
    (says_nothing, "did not begin its answer within"),
    (drips_its_body, "did not end its answer within"),
    (drips_chunks, "did not end its answer within"),
    (stops_in_its_body, "did not end its answer within"),
)
"""Each takes for ever, and what is said of it."""


def floods_interim_answers(talk: Talk) -> None:
    talk.floods(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def floods_headers(talk: Talk) -> None:
    talk.says(OK)
    talk.floods(b"X-Many: " + b"a" * 50 + b"\r\n")


def floods_one_header(talk: Talk) -> None:
    talk.says(OK + b"X-Large: ")
    talk.floods(b"a")


def floods_its_body(talk: Talk) -> None:
    talk.says(OK + b"\r\n")
    talk.floods(b" ")


def floods_chunks(talk: Talk) -> None:
    talk.says(CHUNKED)
    talk.floods(b"1\r\n \r\n")


def floods_chunk_extensions(talk: Talk) -> None:
    talk.says(CHUNKED + b"1;a=")
    talk.floods(b"a")


def is_a_packed_bomb(talk: Talk) -> None:
    talk.answers(gzip.compress(b" " * 64 * 1024 * 1024), OK + b"Content-Encoding: gzip\r\n")


def switches_protocols(talk: Talk) -> None:
    talk.says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    talk.is_silent()


def is_no_http(talk: Talk) -> None:
    talk.says(b"\x00\xff SSH-2.0-OpenSSH\r\n" * 3)


def hangs_up(talk: Talk) -> None:
    raise OSError


def contradicts_its_length(talk: Talk) -> None:
    talk.says(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}")


def has_a_negative_length(talk: Talk) -> None:
    talk.says(OK + b"Content-Length: -1\r\n\r\n{}")


def has_a_bad_chunk(talk: Talk) -> None:
    talk.says(CHUNKED + b"zz\r\n{}\r\n")


def redirects(talk: Talk) -> None:
    talk.answers(b"", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/steal\r\n")


def speaks_html(talk: Talk) -> None:
    talk.answers(b"<html><body>It works!</body></html>", OK + b"Content-Type: text/html\r\n")


def is_deep(talk: Talk) -> None:
    talk.answers(b"[" * MOST_BYTES)


def holds_a_deep_trace(talk: Talk) -> None:
    talk.answers(talk.status(state="ended", trace=None).replace(b"null", b'{"turns":' + b"[" * 1_000_000))


def holds_millions_of_values(talk: Talk) -> None:
    body = talk.ended(turns="X").replace(b'"X"', b"[" + b"1," * (MOST_BYTES // 2 - 200) + b"1]")
    talk.answers(body)


def holds_many_wrong_values(talk: Talk) -> None:
    talk.answers(talk.ended(turns="X").replace(b'"X"', b"[" + b"1," * 300_000 + b"1]"))


def holds_many_parts(talk: Talk) -> None:
    parts = b'{"kind":"text"},' * 200_000
    turn = b'[{"role":"user","parts":[' + parts + b'{"kind":"text"}]}]'
    talk.answers(talk.ended(turns="X").replace(b'"X"', turn))


def repeats_a_key(talk: Talk) -> None:
    talk.answers(b"{" + b'"run_id":"r",' * 500_000 + b'"state":"running"}')


def has_many_keys(talk: Talk) -> None:
    keys = b",".join(b'"%d":1' % number for number in range(500_000))
    talk.answers(b"{" + keys + b"}")


def has_half_an_emoji(talk: Talk) -> None:
    talk.answers(talk.ended(rationale="X").replace(b"X", rb"\ud83d"))


def is_no_utf8(talk: Talk) -> None:
    talk.answers(talk.ended(rationale="X").replace(b"X", b"\xff\xfe"))


def holds_one_long_text(talk: Talk) -> None:
    talk.answers(talk.ended(decision_id="a" * (MOST_BYTES - 1000)))


def is_not_sure(talk: Talk) -> None:
    token = {"token": "a", "log_probability": float("nan")}
    question = json.loads(talk.body)["decision"]["question"] if talk.body else {"role": "user"}
    talk.answers(talk.ended(turns=[question, {"role": "model", "log_probabilities": [token]}]))


def has_wrong_types(talk: Talk) -> None:
    talk.answers(talk.ended(turns={"role": 1}, usage=[], attempts="many", action=7))


def has_huge_numbers(talk: Talk) -> None:
    talk.answers(talk.ended(usage={"output_tokens": 10**40}, attempts=2**31))


def knows_no_calendar(talk: Talk) -> None:
    part = {"kind": "text", "text": "x", "fetched_at": "0001-01-01T00:00:00+14:00"}
    talk.answers(talk.ended(turns=[{"role": "user", "parts": [part]}]))


def ends_without_a_trace(talk: Talk) -> None:
    talk.answers(talk.status(state="ended"))


def is_of_another_run(talk: Talk) -> None:
    talk.answers(talk.status(run_id="somebody-elses"))


RUBBISH: tuple[tuple[Handler, str], ...] = (
    (floods_interim_answers, "too_large: the agent's answer has more than"),
    (floods_headers, "too_large: the agent's answer has more than"),
    (floods_one_header, "too_large: the agent's answer has more than"),
    (floods_its_body, "too_large: the agent's answer has more than"),
    (floods_chunks, "too_large: the agent's answer comes in more than"),
    (is_a_packed_bomb, "contract: the agent's answer is compressed ('gzip')"),
    (redirects, "contract: the agent answers 302"),
    (speaks_html, "contract: the run's status breaks the contract: body: Invalid JSON"),
    (is_deep, "too_large: the agent's answer has more than"),
    (holds_a_deep_trace, "too_large: the agent's answer has more than"),
    (holds_millions_of_values, "too_large: the agent's answer has more than"),
    (holds_many_wrong_values, "contract: the run's status breaks the contract: body: 300001 faults"),
    (holds_many_parts, "too_large: the trace has 200001 parts"),
    (repeats_a_key, "another_run: "),
    (has_many_keys, "contract: the run's status breaks the contract: body: 500002 faults"),
    (has_half_an_emoji, "contract: the run's status breaks the contract: body: Invalid JSON"),
    (is_no_utf8, "contract: the run's status breaks the contract: body: Invalid JSON"),
    (holds_one_long_text, "another_run: asked for decision 'd1', got run"),
    (is_not_sure, "contract: a log-probability is nan"),
    (has_wrong_types, "contract: the run's status breaks the contract: trace.turns"),
    (has_huge_numbers, "contract: the run's status breaks the contract: trace.usage.output_tokens"),
    (knows_no_calendar, "contract: the run's status breaks the contract: trace.turns.0.parts.0.fetched_at"),
    (ends_without_a_trace, "contract: a run has a trace if and only if it has ended; this one is 'ended'"),
    (is_of_another_run, "another_run: asked for run"),
)
"""Each gives an answer that ends its run, and how that begins."""

AWAY: tuple[Handler, ...] = (
    floods_chunk_extensions, switches_protocols, is_no_http, hangs_up, contradicts_its_length,
    has_a_negative_length, has_a_bad_chunk,
)  # fmt: skip
"""What speaks no HTTP is no agent: it is away."""
