"""Records that a topic takes, since it bounds them compressed, and that no dead letter holds whole."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from confluent_kafka import Message, Producer

from schemas.catalog import topic
from sinks.dead_letters import DeadLetter, parse_dead_letter
from streams.core.record_size import record_bytes
from streams.runtime.kafka_clients import as_bytes, header_pairs

MIB = 1024 * 1024
Made = Callable[[str, str], tuple[bytes, bytes]]
"""Key and value of a valid record with an id and a text of one's own."""


@dataclass(frozen=True)
class Oversize:
    """One such record; `says`: how the error of its letter begins, empty where it can be processed."""

    name: str
    key: bytes
    value: bytes
    says: str
    headers: tuple[tuple[str, bytes], ...] = ()
    compression: Literal["none", "gzip", "zstd"] = "zstd"


def oversize_records(valid: Made) -> Iterator[Oversize]:
    """One of each kind; what is said of those with a valid value depends on the stage."""
    key, value = valid("large", "")
    yield Oversize("one byte 7 million times", key, b"x" * 7_000_000, "not_framed: ")
    yield Oversize("valid with a long text", *valid("text", "t" * 8 * MIB), "", compression="gzip")
    yield Oversize("a million headers", key, b"x", "not_framed: ", (("h", b""),) * 1_000_000)
    yield Oversize("long headers", key, b"x", "not_framed: ", (("h", b"x" * 100),) * 80_000)
    noise = random.Random(1).randbytes(4 * MIB - 8 * 1024)
    trace = (("traceparent", noise),)
    yield Oversize("a traceparent of noise", *valid("trace", ""), "", trace, compression="none")
    yield Oversize("a long key", b"k" * 8 * MIB, value, "wrong_key: ")
    yield Oversize("a long id", *valid("i" * 3 * MIB, ""), "")


def send_oversize(bootstrap: str, physical: str, record: Oversize) -> Message:
    """Sends one to a physical topic as a producer of any program may; where the broker put it."""
    sent: list[Message] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "compression.type": record.compression,
            "message.max.bytes": 64 * MIB,
            "log_level": 0,
        }
    )

    def delivered(error: object, message: Message) -> None:
        assert error is None, f"{record.name}: {error}"
        sent.append(message)

    headers: list[tuple[str, str | bytes | None]] = list(record.headers)
    producer.produce(physical, record.value, record.key, headers=headers, on_delivery=delivered)
    assert producer.flush(120) == 0
    return sent[0]


def check_letter(message: Message, record: Oversize) -> DeadLetter:
    """The letter in a message: it fits, and holds or names by its sha256 all that the record had."""
    key, value, headers = as_bytes(message.key()), as_bytes(message.value()), header_pairs(message.headers())
    letter = parse_dead_letter(headers)
    assert record_bytes(key, value, headers) <= topic("opoi.dead-letters").max_message_bytes
    for whole, kept, said in (
        (record.key, key or b"", letter.whole_key),
        (record.value, value or b"", letter.whole_value),
    ):
        assert whole.startswith(kept)
        assert (said is None) == (whole == kept)
        if said is not None:
            assert (said.size, said.sha256) == (len(whole), sha256(whole).hexdigest())
    dropped = letter.dropped_headers.count if letter.dropped_headers else 0
    assert dropped + len(letter.original_headers) == len(record.headers)
    return letter
