"""What holds for every record and for every sequence of bytes, not only for the examples."""

import io
import struct
import time
import tracemalloc
from functools import cache
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import plain_schema, topics
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.examples import framed_examples
from schemas.memory import MemoryStore
from schemas.record import Record
from tests.property.strategies import records

TOPICS = {spec.name: spec.record for spec in topics().values() if spec.record is not None}
KINDS = {
    "empty_body",
    "not_framed",
    "truncated",
    "unknown_schema_id",
    "wrong_record",
    "wrong_subject",
    "unresolvable",
    "too_many_values",
    "trailing_bytes",
    "contract",
}


@cache
def codec() -> Codec:
    return Codec(MemoryStore.whole())


def decode(topic: str, value: bytes) -> Record | None:
    """The record, None where it is Undecodable; anything else is raised."""
    try:
        return codec().decode(topic, value)
    except Undecodable as error:
        refused = error
    assert refused.kind in KINDS
    assert len(refused.reason) < 1000
    return None


@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
def test_any_record_survives_the_wire(topic: str, data: st.DataObject) -> None:
    record = data.draw(records(TOPICS[topic]))

    value = codec().encode(topic, record)

    assert codec().decode(topic, value) == record
    assert codec().encode(topic, record) == value


@cache
def of_tomorrow(topic: str) -> tuple[Codec, int, Any]:
    """A codec that knows a later writer's schema with one more field, that schema's id, and it."""
    wide = plain_schema(TOPICS[topic])
    wide["fields"].insert(1, {"name": "of_tomorrow", "type": {"type": "array", "items": "string"}})
    store = MemoryStore()
    return Codec(store), store.register(f"{topic}-value", wide), fastavro.parse_schema(wide)


@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
def test_a_writer_of_tomorrow_is_read_as_the_same_record(topic: str, data: st.DataObject) -> None:
    record = data.draw(records(TOPICS[topic]))
    later, schema_id, schema = of_tomorrow(topic)
    value = io.BytesIO()
    value.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(value, schema, {**record.to_avro(), "of_tomorrow": ["a", ""]})

    assert later.decode(topic, value.getvalue()) == record


@settings(max_examples=20 * settings().max_examples)
@given(topic=st.sampled_from(list(TOPICS)), value=st.binary(max_size=300))
def test_bytes_that_are_no_frame_are_undecodable(topic: str, value: bytes) -> None:
    # a random prefix is one of our schema ids once in two billion
    assert decode(topic, value) is None


@settings(max_examples=20 * settings().max_examples)
@given(topic=st.sampled_from(list(TOPICS)), body=st.binary(max_size=300))
def test_any_body_is_a_record_or_undecodable(topic: str, body: bytes) -> None:
    record = decode(topic, framed_examples(topic)[0][:5] + body)

    if record is not None:
        assert codec().decode(topic, codec().encode(topic, record)) == record


@settings(max_examples=20 * settings().max_examples)
@given(data=st.data(), topic=st.sampled_from(list(TOPICS)))
def test_a_damaged_value_is_a_record_or_undecodable(data: st.DataObject, topic: str) -> None:
    value = bytearray(data.draw(st.sampled_from(framed_examples(topic))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(value) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "remove"])):
            case "flip" if value:
                value[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del value[at:]
            case "insert":
                # lengths and counts are variable-length integers: long runs make huge ones
                value[at:at] = bytes([data.draw(st.sampled_from([0x00, 0x01, 0x7F, 0x80, 0xFF]))]) * 9
            case "remove":
                del value[at : at + 3]

    record = decode(topic, bytes(value))

    if record is not None:
        assert codec().decode(topic, codec().encode(topic, record)) == record


NAMES = st.sampled_from(["opoi.Tick", "Tick", "opoi.EndOffset", "opoi.A", "B", "", "a b", "int", "\ud800"])
FIELDS = st.sampled_from(["stage", "partition", "partitions", "at", "end_offsets", "topic", "offset", "a"])
LEAVES = (
    st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string", "opoi.A", "x"])
    | st.sampled_from(["timestamp-millis", "timestamp-micros", "decimal", "date", "uuid", 7]).map(
        lambda logical: {"type": "long", "logicalType": logical}
    )
    | st.none()
    | st.booleans()
    | st.integers()
)


def of_types(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types of Avro that hold others, and what only looks like them."""
    fields = st.lists(st.fixed_dictionaries({"name": FIELDS, "type": inner}, optional={"default": inner}))
    return st.one_of(
        st.lists(inner, max_size=4),
        st.builds(lambda of: {"type": "array", "items": of}, inner),
        st.builds(lambda of: {"type": "map", "values": of}, inner),
        st.builds(lambda of: {"type": of}, inner),
        st.builds(
            lambda name, size: {"type": "fixed", "name": name, "size": size}, NAMES, st.integers(-1, 9)
        ),
        st.builds(lambda name, one: {"type": "enum", "name": name, "symbols": one}, NAMES, st.lists(FIELDS)),
        st.builds(
            lambda name, these, marks: {"type": "record", "name": name, "fields": these, **marks},
            NAMES,
            fields | inner,
            st.sampled_from([{}, {"namespace": "opoi"}, {"namespace": 7}, {"__fastavro_parsed": True}]),
        ),
    )


class AnySchema:
    """A registry in which one schema is registered for everything."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def schema_of(self, schema_id: int) -> Any:
        return self._schema

    def subjects_of(self, schema_id: int) -> None:
        return None

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        return 7


@settings(max_examples=20 * settings().max_examples, deadline=None)
@given(
    more=st.recursive(LEAVES, of_types, max_leaves=12),
    at=st.integers(0, 4),
    instead=st.booleans(),
    body=st.binary(max_size=60) | st.just(framed_examples("opoi.ticks.join")[0][5:]),
)
def test_any_schema_leads_to_a_record_or_is_undecodable(
    more: Any, at: int, instead: bool, body: bytes
) -> None:
    schema = plain_schema("Tick")
    field = schema["fields"][at]
    schema["fields"][at : at + instead] = [{"name": field["name"] if instead else "a", "type": more}]
    for found in (schema, more):
        begun = time.process_time()
        try:
            record = Codec(AnySchema(found)).decode("opoi.ticks.join", struct.pack(">bI", 0, 7) + body)
        except Undecodable as refused:
            problem = refused
            assert problem.kind in KINDS
            assert problem.reason.isprintable()
            assert len(problem.reason) < 1000
        else:
            assert codec().decode("opoi.ticks.join", codec().encode("opoi.ticks.join", record)) == record
        assert time.process_time() - begun < 2


@pytest.mark.parametrize("topic", TOPICS)
def test_every_truncation_is_undecodable(topic: str) -> None:
    value = framed_examples(topic)[0]

    assert [size for size in range(len(value)) if decode(topic, value[:size]) is not None] == []


@pytest.mark.parametrize("topic", TOPICS)
@given(more=st.binary(min_size=1, max_size=20))
def test_trailing_bytes_are_undecodable(topic: str, more: bytes) -> None:
    with pytest.raises(Undecodable) as refused:
        codec().decode(topic, framed_examples(topic)[0] + more)

    assert refused.value.kind == "trailing_bytes"


def test_a_record_of_another_topic_is_undecodable() -> None:
    for topic, record in TOPICS.items():
        for other, value in ((name, framed_examples(name)[0]) for name in TOPICS):
            if TOPICS[other] == record:
                assert decode(topic, value) is not None
            else:
                with pytest.raises(Undecodable) as refused:
                    codec().decode(topic, value)
                assert refused.value.kind == "wrong_record"


def long(value: int) -> bytes:
    """Avro's variable-length zigzag."""
    value = (value << 1) ^ (value >> 63)
    value &= 2**64 - 1
    out = b""
    while value & ~0x7F:
        out += bytes([(value & 0x7F) | 0x80])
        value >>= 7
    return out + bytes([value])


# stage, partition, partitions, at, end_offsets
TICK = long(4) + b"join" + long(0) + long(8)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(long(2**62), id="string of 2^62 bytes"),
        pytest.param(long(-5) + b"abcdef", id="string of -5 bytes"),
        pytest.param(TICK + long(0) + long(2**62), id="array block of 2^62 items"),
        pytest.param(TICK + long(0) + long(-(2**63)) + long(0), id="array block of -2^63 items"),
        pytest.param(TICK + long(0) + long(-(2**62)) + long(2**62), id="array block of 2^62 bytes"),
        pytest.param(TICK + long(2**62) + long(0), id="time after the year 9999"),
        pytest.param(TICK + long(-(2**62)) + long(0), id="time before the year 1"),
        pytest.param(b"\xff" * 4096, id="number that never ends"),
        pytest.param(long(4) + b"join" + long(2**40) + long(8) + long(0) + long(0), id="int of 40 bits"),
        pytest.param(
            long(2) + b"\xff\xfe" + long(0) + long(8) + long(0) + long(0), id="text that is no UTF-8"
        ),
    ],
)
def test_hostile_lengths_cost_nothing(body: bytes) -> None:
    value = framed_examples("opoi.ticks.join")[0][:5] + body
    decode("opoi.ticks.join", value)  # caches are filled

    tracemalloc.start()
    begun = time.process_time()
    decoded = decode("opoi.ticks.join", value)
    took = time.process_time() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert decoded is None
    assert took < 0.5
    assert peak < 2**20
