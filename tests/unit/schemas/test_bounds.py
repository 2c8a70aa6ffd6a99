"""Writers' schemas with which a few bytes would cost hours or the process are not decoded with."""

import io
import struct
from typing import Any

import fastavro
import pytest

from schemas.bounds import unsafe
from schemas.catalog import plain_schema
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.examples import examples

RECURSIVE = {
    "type": "record",
    "name": "opoi.Node",
    "fields": [{"name": "next", "type": ["null", "opoi.Node"], "default": None}],
}
EMPTY = {"type": "record", "name": "opoi.Empty", "fields": []}
HOLDS_EMPTY = {"type": "record", "name": "opoi.Holder", "fields": [{"name": "a", "type": EMPTY}]}


def record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "opoi.Tick", "fields": [{"name": "extra", "type": kind}]}


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "fixed", "name": "opoi.Zero", "size": 0}},
        {"type": "array", "items": EMPTY},
        {"type": "array", "items": HOLDS_EMPTY},
        {"type": "map", "values": {"type": "array", "items": {"type": "null"}}},
        ["null", {"type": "array", "items": "null"}],
    ],
)
def test_items_of_no_bytes_are_refused(kind: Any) -> None:
    assert unsafe(fastavro.parse_schema(record(kind))) == "an array in opoi.Tick has items of no bytes"


@pytest.mark.parametrize("kind", [RECURSIVE, {"type": "array", "items": RECURSIVE}, ["null", RECURSIVE]])
def test_recursive_types_are_refused(kind: Any) -> None:
    assert unsafe(fastavro.parse_schema(record(kind))) == "opoi.Node holds itself"


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": ["null"]},
        {"type": "array", "items": {"type": "enum", "name": "opoi.E", "symbols": ["a"]}},
        {"type": "map", "values": "null"},
        EMPTY,
    ],
)
def test_what_takes_bytes_is_safe(kind: Any) -> None:
    assert unsafe(fastavro.parse_schema(record(kind))) is None


class Foreign:
    """A registry where somebody registered a schema of theirs for our record."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        return self.schema

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        return 1


@pytest.mark.parametrize(
    ("kind", "hostile"),
    [
        # 2^62 items of nothing would keep a process busy for thousands of years
        ({"type": "array", "items": "null"}, b"\x80" * 8 + b"\x01"),
        # two million levels are a segmentation fault
        (RECURSIVE, b"\x02" * 2_000_000 + b"\x00"),
    ],
)
def test_the_codec_refuses_before_it_reads(kind: Any, hostile: bytes) -> None:
    schema = plain_schema("Tick")
    schema["fields"].insert(0, {"name": "extra", "type": kind})
    codec = Codec(Foreign(schema))

    with pytest.raises(Undecodable) as refused:
        codec.decode("opoi.ticks.join", struct.pack(">bI", 0, 7) + hostile)

    assert refused.value.kind == "unresolvable"
    assert "schema 7 is not decoded with" in refused.value.reason


def test_a_writer_with_one_more_field_is_read() -> None:
    wide = plain_schema("Tick")
    wide["fields"].insert(0, {"name": "extra", "type": {"type": "array", "items": "int"}})
    body = io.BytesIO()
    [tick, *_] = examples("opoi.ticks.join")
    fastavro.schemaless_writer(body, fastavro.parse_schema(wide), {**tick.to_avro(), "extra": [1, 2]})

    assert Codec(Foreign(wide)).decode("opoi.ticks.join", struct.pack(">bI", 0, 7) + body.getvalue()) == tick
