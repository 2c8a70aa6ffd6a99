"""What belongs together is sent and reported together."""

import queue
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from schemas.catalog import topics
from streams.core.contract import Coordinates, Headers, Output
from streams.core.dispositions import cause, disposition
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.outputs import Encoder
from streams.runtime.publisher import Publication, Publisher
from testkit.builders import codec

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AT = Coordinates("opoi.replay-requests", 0, 7)


class Producer:
    """Takes everything."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.flushed = 0

    def send(self, topic: str, key: Any, value: Any, *, headers: Headers) -> None:
        self.sent.append(topic)

    def flush(self, seconds: float) -> None:
        self.flushed = len(self.sent)


def said(record_id: str) -> Output:
    return disposition("replay", cause(AT, record_id), "emitted", "completed", NOW)


def test_outputs_that_do_not_fit_are_refused_and_what_stands_beside_them_is_sent() -> None:
    producer, reports = Producer(), queue.SimpleQueue[Callable[[], None]]()
    encoder = Encoder("replay", codec, topics())
    publisher = Publisher("replay", producer, encoder, reports.put)  # type: ignore[arg-type]
    happened: list[str] = []

    def put(name: str, *outputs: Output) -> None:
        letter = DeadLetters("replay", topics()).letter(AT, NOW, None, b"v", (), kind="contract", reason="r")
        publisher.put(
            Publication(
                outputs,
                NOW,
                acknowledged=lambda: happened.append(f"{name} acknowledged after {producer.flushed}"),
                refused=lambda poison: happened.append(f"{name} {poison.kind}"),
                broken=lambda error: happened.append(f"{name} broken"),
                letter=letter,
            )
        )

    put("first", said("r1"))
    put("large", said("r2"), said("x" * 5_000_000))
    put("last", said("r3"))
    for _ in range(3):
        reports.get(timeout=60)()
    assert producer.sent == ["opoi.dead-letters", "opoi.dispositions"] * 2
    assert happened[1] == "large too_large"
    assert [one.split(" after ")[0] for one in happened[::2]] == ["first acknowledged", "last acknowledged"]
