"""Records that anybody may send and nobody should: one line a kind, for any topic of the catalogue."""

import gzip
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lz4.frame

from schemas.catalog import plain_schema
from testkit.raw_batches import (
    CODECS,
    RawBatch,
    RawRecord,
    batch,
    blown_up,
    compressed,
    record_bytes,
    sized,
    varint,
)
from testkit.topic_records import Topic

MIB = 1024 * 1024
NO_VALUE = "no value"
"""The kind that is a deletion in a compacted topic."""
_NOISE = random.Random(1)

Make = Callable[[Topic], bytes]


@dataclass(frozen=True)
class Hostile:
    """One kind: what makes a batch of it, of one record.

    `dies`: every stage that reads records gives it up; else whether it is done or given up is the stage's.
    """

    name: str
    make: Make
    dies: bool = True


def _body(record: RawRecord) -> bytes:
    """A record without its length."""
    size = record_bytes(record, 0)
    at = next(place for place, byte in enumerate(size) if byte < 0x80) + 1
    return size[at:]


def _raw(content: bytes, codec: str = "none") -> bytes:
    return RawBatch(compressed(content, codec), 1, CODECS[codec]).build()


def _with(topic: Topic, **changes: Any) -> RawRecord:
    good = topic.good()
    fields: dict[str, Any] = {"key": good.key, "value": good.value}
    return RawRecord(**(fields | changes))


def _value(change: Callable[[bytes], bytes | None]) -> Make:
    def make(topic: Topic) -> bytes:
        good = topic.good()
        assert good.value is not None
        return batch([RawRecord(good.key, change(good.value))])

    return make


def _headers(*headers: tuple[bytes, bytes | None], codec: str = "none") -> Make:
    return lambda topic: batch([_with(topic, headers=headers)], codec)


def _key(key: bytes | None) -> Make:
    return lambda topic: batch([_with(topic, key=key)])


def _huge(codec: str) -> Make:
    return lambda topic: blown_up([topic.good().key or b""], 400 * MIB, codec)


def _schema(number: int) -> Make:
    def make(topic: Topic) -> bytes:
        *_, schema = (one for place, one in enumerate(hostile_schemas(topic.record)) if place <= number)
        return batch([_with(topic, value=frame(topic.schema_id(schema, number), b"\x02" * 1000))])

    return make


def _at(time: int) -> Make:
    return lambda topic: batch([topic.good()], timestamp=time)


def _packed(topic: Topic, codec: str, behind: bytes) -> bytes:
    content = record_bytes(topic.good(), 0)
    packed = gzip.compress(content) if codec == "gzip" else compressed(content, codec)
    return RawBatch(packed + behind, 1, CODECS[codec]).build()


def _half_emoji(value: bytes) -> bytes:
    """With half an emoji, as JSON's escapes give it, for the first text."""
    return value[:5] + sized(b"\xed\xa0\xbd") + value[6 + value[5] // 2 :]


def _bad_checksum(topic: Topic) -> bytes:
    content = record_bytes(topic.good(), 0)
    packed = bytearray(lz4.frame.compress(content, content_checksum=True, block_linked=False))
    packed[-1] ^= 1
    return RawBatch(bytes(packed), 1, CODECS["lz4"]).build()


def _length_that_lies(topic: Topic) -> bytes:
    body = _body(topic.good())
    return _raw(varint(len(body) + 1) + body, "zstd")


def _bits_above_java(topic: Topic) -> bytes:
    good = topic.good()
    assert good.value is not None
    many = bytearray(varint(len(good.value)))
    many[-1] |= 0x80
    many += b"\x80" * (4 - len(many)) + b"\x70"
    body = b"\0" + varint(0) + varint(0) + sized(good.key) + bytes(many) + good.value + varint(0)
    return _raw(varint(len(body)) + body)


def _negative_length(topic: Topic) -> bytes:
    body = b"\0" + varint(0) + varint(0) + varint(-2) + sized(b"no value") + varint(0)
    return _raw(varint(len(body)) + body)


def frame(schema_id: int, body: bytes) -> bytes:
    """A value as Confluent's serializers frame it."""
    return struct.pack(">bI", 0, schema_id) + body


def hostile_schemas(record: str) -> Iterator[dict[str, Any]]:
    """Schemas that a registry takes, each under the name of our record."""
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
    deep: Any = "int"
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    kinds: tuple[Any, ...] = (
        node,
        {"type": "array", "items": "null"},
        deep,
        {"type": "map", "values": "string"},
        _twice_in_one_another(30),
    )
    for kind in kinds:
        schema = plain_schema(record)
        yield {**schema, "fields": [{"name": "extra", "type": kind}, *schema["fields"]]}
    schema = plain_schema(record)
    yield schema | {"__fastavro_parsed": True, "__named_schemas": {"Node": node}, "doc": "x"}
    yield schema | {"doc": "x" * 2_000_000}


def _twice_in_one_another(deep: int) -> Any:
    """Records of which each holds the next twice."""
    found: Any = "string"
    for number in range(deep):
        again = found if isinstance(found, str) else found["name"]
        fields = [{"name": "one", "type": found}, {"name": "other", "type": again}]
        found = {"type": "record", "name": f"Nested{number}", "fields": fields}
    return found


HOSTILE = (
    # size, and what it unpacks to
    Hostile("7 MB of one byte", lambda topic: batch([_with(topic, value=b"x" * 7_000_000)], "zstd")),
    Hostile(
        "a valid text of 8 MB",
        lambda topic: batch([topic.good("t" * 8 * MIB)], "gzip"),
        dies=False,
    ),
    Hostile("400 MiB of one letter in gzip", _huge("gzip")),
    Hostile("400 MiB of one letter in lz4", _huge("lz4")),
    Hostile("400 MiB of one letter in zstd", _huge("zstd")),
    Hostile("a key of 1 MB", _key(b"k" * 1_000_000), dies=False),
    # headers
    Hostile(
        "a million headers",
        lambda topic: batch([_with(topic, value=b"x", headers=((b"h", b""),) * 1_000_000)], "zstd"),
    ),
    Hostile(
        "a traceparent of 4 MiB", _headers((b"traceparent", _NOISE.randbytes(4 * MIB - 64 * 1024))), False
    ),
    Hostile("a header name that is no UTF-8", _headers((b"\xff\xfe", b"1"), (b"fine", b"2")), dies=False),
    Hostile(
        "a header name that is no UTF-8, on rubbish",
        lambda topic: batch([_with(topic, value=b"rubbish", headers=((b"caf\xe9", None),))]),
    ),
    Hostile("a header that is null", _headers((b"traceparent", None), (b"", None)), dies=False),
    # schemas
    Hostile("an unknown schema", _value(lambda value: struct.pack(">bI", 0, 2147480000) + value[5:])),
    Hostile("a schema id of no registry", _value(lambda value: b"\0\xff\xff\xff\xff" + value[5:])),
    *(
        Hostile(f"a schema {what}", _schema(number))
        for number, what in enumerate(
            (
                "that holds itself",
                "of items without bytes",
                "of arrays 100 deep",
                "with another field",
                "of 30 nested records",
                "with fastavro's own marks",
                "of 2 MB",
            )
        )
    ),
    # values
    Hostile("Avro that ends early", _value(lambda value: value[: 5 + (len(value) - 5) // 2])),
    Hostile("bytes behind Avro", _value(lambda value: value + b"more")),
    Hostile("another first byte", _value(lambda value: b"\1" + value[1:])),
    Hostile(
        "a length of 2^62", _value(lambda value: value[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" * 40)
    ),
    Hostile("JSON nested 100,000 deep", _value(lambda value: b"[" * 100_000)),
    Hostile("an empty value", _value(lambda value: b"")),
    Hostile(NO_VALUE, _value(lambda value: None)),
    Hostile("half an emoji", _value(_half_emoji)),
    # keys
    Hostile("a key that is no UTF-8", _key(b"\xff\xfe\x00"), dies=False),
    Hostile("another key", _key(b"somebody/else"), dies=False),
    # compression and framing
    Hostile("a wrong checksum within lz4", _bad_checksum),
    Hostile("bytes behind gzip", lambda topic: _packed(topic, "gzip", b"garbage"), dies=False),
    Hostile("bytes behind lz4", lambda topic: _packed(topic, "lz4", b"\0" * 9), dies=False),
    Hostile("a length that lies", _length_that_lies, dies=False),
    Hostile("a length with bits above Java's", _bits_above_java, dies=False),
    Hostile("a negative length", _negative_length),
    # times
    *(
        Hostile(f"a time of {what}", _at(time), dies=False)
        for what, time in (
            ("0", 0),
            ("-1", -1),
            ("the year 9999", 253_402_300_799_999),
            ("no calendar", 2**63 - 1),
        )
    ),
)
"""Every kind, by what an engineer would call it."""
