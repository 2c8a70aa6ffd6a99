"""Writers' schemas with which a few bytes would cost hours or the process are not decoded with."""

import io
import resource
import struct
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import fastavro
import pytest

from schemas.catalog import plain_schema
from schemas.catalog import schema as reader
from schemas.codec import Codec
from schemas.decode_limits import unsafe, writer_schema
from schemas.errors import Undecodable
from schemas.examples import examples, framed_examples
from schemas.memory import MemoryStore
from schemas.records import Tick

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

    def subjects_of(self, schema_id: int) -> None:
        return None

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
    assert "schema 7 cannot be used for decoding" in refused.value.reason


def test_a_writer_with_one_more_field_is_read() -> None:
    wide = plain_schema("Tick")
    wide["fields"].insert(0, {"name": "extra", "type": {"type": "array", "items": "int"}})
    body = io.BytesIO()
    [tick, *_] = examples("opoi.ticks.join")
    fastavro.schemaless_writer(body, fastavro.parse_schema(wide), {**tick.to_avro(), "extra": [1, 2]})

    assert Codec(Foreign(wide)).decode("opoi.ticks.join", struct.pack(">bI", 0, 7) + body.getvalue()) == tick


# what a codec does with it


TICK = "opoi.ticks.join"


def long(value: int) -> bytes:
    """Avro's variable-length zigzag of a number that is not negative."""
    value, out = value << 1, b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def tick_and(*kinds: Any) -> dict[str, Any]:
    """The schema of a Tick, with more fields before its own."""
    schema = plain_schema("Tick")
    schema["fields"][:0] = [{"name": f"extra_{at}", "type": kind} for at, kind in enumerate(kinds)]
    return schema


def named(number: int, *fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": f"opoi.N{number}",
        "fields": [{"name": f"f{at}", "type": kind} for at, kind in enumerate(fields)],
    }


def nested(levels: int, of: Any, wrap: Callable[[Any, int], Any]) -> Any:
    for level in range(levels):
        of = wrap(of, level)
    return of


def chain(length: int, times: int) -> list[Any]:
    """Records each of which holds the one before so many times; what holds nothing is a field of its own."""
    return [named(0), *(named(at, *[f"opoi.N{at - 1}"] * times) for at in range(1, length))]


def in_a_union(of: Any, level: int) -> Any:
    return ["null", named(level, of)]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        pytest.param(tick_and(*chain(31, 2)), "more than 10000 values of no bytes", id="doubling records"),
        pytest.param(tick_and(*chain(2000, 1)), "nested more than 64 deep", id="a chain of names"),
        pytest.param(
            tick_and(nested(100, "int", lambda of, _: {"type": "array", "items": of})),
            "nested more than 64 deep",
            id="arrays of arrays",
        ),
        pytest.param(
            tick_and(nested(100, "int", lambda of, _: {"type": "map", "values": of})),
            "nested more than 64 deep",
            id="maps of maps",
        ),
        pytest.param(tick_and(nested(100, "int", in_a_union)), "nested more than 64 deep", id="unions"),
        pytest.param(
            tick_and(nested(40_000, "int", lambda of, _: [of])), "union lies directly in", id="lists"
        ),
        pytest.param(
            tick_and(["int"] * 20_000), "more than 10000 types, fields and symbols", id="a wide union"
        ),
        pytest.param(
            tick_and({"type": "enum", "name": "opoi.E", "symbols": [f"s{at}" for at in range(20_000)]}),
            "more than 10000 types, fields and symbols",
            id="a long enum",
        ),
        pytest.param(
            tick_and({"type": "array", "items": named(0, "boolean", *["null"] * 20)}),
            "an array in opoi.Tick has items of more than 16 values a byte",
            id="a crowd for a byte",
        ),
        pytest.param(
            tick_and({"type": "map", "values": named(0, *["null"] * 40)}),
            "a map in opoi.Tick has items of more than 16 values a byte",
            id="a crowd for a key",
        ),
        pytest.param(
            tick_and({"type": "array", "items": ["null", named(0, *["null"] * 40)]}),
            "an array in opoi.Tick has items of more than 16 values a byte",
            id="a crowd for a branch",
        ),
        pytest.param(
            tick_and({"type": "fixed", "name": "opoi.F", "size": 2**31}),
            "2147483648, allowed is 0",
            id="fixed",
        ),
        pytest.param(
            tick_and({"type": "fixed", "name": "opoi.F", "size": -1}),
            "the size of a fixed is -1",
            id="below 0",
        ),
        pytest.param(tick_and({"type": "record", "name": "opoi.R"}), "the fields of a type", id="no fields"),
        pytest.param(tick_and({"type": {"type": "int"}}), "a type has no name", id="a type in brackets"),
        pytest.param(tick_and(7), "7 is no type", id="a number"),
        pytest.param(
            {**tick_and(), "fields": [*tick_and()["fields"]] * 2}, "two fields are called", id="twice"
        ),
        pytest.param(tick_and("opoi.Nothing"), "UnknownType: opoi.Nothing", id="unknown"),
        pytest.param(tick_and(named(0), named(0)), "redefined named type: opoi.N0", id="a name twice"),
        pytest.param(
            tick_and({"type": "enum", "name": "opoi.E", "symbols": ["a", "a"]}), "unique", id="a symbol twice"
        ),
    ],
)
def test_a_schema_that_costs_too_much_is_refused_at_once(schema: dict[str, Any], said: str) -> None:
    begun = time.process_time()
    with pytest.raises(Undecodable) as refused:
        Codec(Foreign(schema)).decode(TICK, struct.pack(">bI", 0, 7) + b"body")

    assert time.process_time() - begun < 1
    assert refused.value.kind == "unresolvable"
    assert said in refused.value.reason
    assert len(refused.value.reason) < 600


def test_thirty_records_that_refer_to_one_another_are_measured_in_no_time() -> None:
    # each holds the one before twice, and a number: 2^29 values, each of which takes a byte
    records = [named(0, "int"), *(named(at, f"opoi.N{at - 1}", f"opoi.N{at - 1}") for at in range(1, 30))]
    begun = time.process_time()

    assert unsafe(fastavro.parse_schema(tick_and(*records))) is None
    assert time.process_time() - begun < 0.5


def test_marks_of_fastavros_own_do_not_switch_the_checks_off() -> None:
    hidden = {"opoi.Node": RECURSIVE}
    schema = tick_and("opoi.Node")
    schema |= {"__fastavro_parsed": True, "__named_schemas": hidden}

    with pytest.raises(Undecodable, match=r"UnknownType: opoi\.Node"):
        Codec(Foreign(schema)).decode(TICK, struct.pack(">bI", 0, 7) + b"\x02" * 2_000_000)


def written(schema: dict[str, Any], extra: bytes) -> bytes:
    """A Tick of that writer, whose first field has these bytes."""
    return struct.pack(">bI", 0, 7) + extra + framed_examples(TICK)[0][5:]


def test_a_number_of_any_length_is_not_made_decimal() -> None:
    # half a megabyte takes fastavro half a minute
    schema = tick_and({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2})
    begun = time.process_time()

    decoded = Codec(Foreign(schema)).decode(TICK, written(schema, long(2**19) + b"\x7f" * 2**19))

    assert time.process_time() - begun < 1
    assert decoded == examples(TICK)[0]


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("long", b"\x80" * 400_000 + b"\x01"),
        ({"type": "array", "items": {"type": "array", "items": "int"}}, long(400_000) + bytes(400_001)),
        ({"type": "map", "values": "null"}, long(400_000) + bytes(400_001)),
        ({"type": "array", "items": ["null", "int"]}, long(400_000) + bytes(400_001)),
        (nested(60, "int", lambda of, _: {"type": "array", "items": of}), long(1) * 30 + b"\x00" * 31),
        # defaults, aliases and bases that do not fit say nothing about bytes
        ({"type": "string", "logicalType": "decimal"}, b"\x02a"),
        ({"type": "string", "logicalType": ["x"]}, b"\x02a"),
        (
            {"type": "enum", "name": "opoi.E", "symbols": ["a"], "default": 7, "aliases": ["a", "opoi.Tick"]},
            b"\x00",
        ),
    ],
)
def test_what_we_do_not_read_costs_no_more_than_its_bytes(kind: Any, extra: bytes) -> None:
    schema = tick_and(kind)
    schema["fields"][0]["default"] = {"no": "default"}
    codec, value = Codec(Foreign(schema)), written(schema, extra)
    begun = time.process_time()

    assert codec.decode(TICK, value) == examples(TICK)[0]
    assert time.process_time() - begun < 3


def crowded_ticks(items: int) -> bytes:
    """Our own schema; the smallest of its items, as many as four megabytes take."""
    head = b"\x02a\x00\x02\x00"
    return framed_examples(TICK)[0][:5] + head + long(items) + b"\x00\x00" * items + b"\x00"


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_body_holds_no_more_values_than_memory_bears() -> None:
    codec = Codec(MemoryStore.whole())
    many = codec.decode(TICK, crowded_ticks(100_000))
    assert isinstance(many, Tick)
    assert len(many.end_offsets) == 100_000
    before = peak_megabytes()

    with pytest.raises(Undecodable) as refused:
        codec.decode(TICK, crowded_ticks(2_000_000))

    assert refused.value.kind == "too_many_values"
    # whole, it is 1.4 GB
    assert peak_megabytes() - before < 400


def test_the_defaults_of_the_reader_count() -> None:
    """A foreign writer leaves all out that has a default: each byte would become a whole record of ours."""
    schema = plain_schema("AgentDecision")
    turns = next(field for field in schema["fields"] if field["name"] == "turns")
    part = turns["type"]["items"]["fields"][1]["type"]["items"]
    assert part["name"] == "opoi.Part"
    whole = part["fields"]
    kinds = [field for field in whole if "default" not in field]
    assert len(whole) > 2 * len(kinds)

    def most_reads(fields: list[Any]) -> int:
        part["fields"] = fields
        return writer_schema(deepcopy(schema), reader("AgentDecision")).most_reads

    assert most_reads(kinds) < most_reads(whole)
