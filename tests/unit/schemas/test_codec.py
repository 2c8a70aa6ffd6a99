"""How the codec refuses: with a short stable code, in words for people, never with anybody's data."""

import io
import struct
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from pydantic import ValidationError

from schemas.catalog import plain_schema
from schemas.codec import Codec, SubjectNames
from schemas.errors import CatalogError, DeployRefused, NotRegistered, Undecodable, Unencodable
from schemas.examples import examples, framed_examples
from schemas.memory import MemoryStore
from schemas.records import EndOffset, ExpertVerdict, Tick, Turn

TOPIC = "expert.verdicts"
SECRET = "the customer's own words"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(MemoryStore.whole())


def verdict() -> ExpertVerdict:
    [record, *_] = examples(TOPIC)
    assert isinstance(record, ExpertVerdict)
    return record


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (None, "empty_body", "the value is empty"),
        (b"", "empty_body", "the value is empty"),
        (b'{"json": true}', "not_framed", "the value starts with 7b 22 6a 73 6f, not with 00"),
        (b"\x00\x00\x00", "not_framed", "the value starts with 00 00 00, not with 00 and a 4-byte schema id"),
        (b"\x00\x00\x00\x00\x07body", "unknown_schema_id", "there is no schema 7"),
        (framed_examples("opoi.alerts")[0], "wrong_record", "is of 'opoi.Alert'; expert.verdicts carries"),
        (framed_examples(TOPIC)[0][:-1], "truncated", "in the middle of a ExpertVerdict"),
        (framed_examples(TOPIC)[0] + b"more", "trailing_bytes", "4 bytes follow the ExpertVerdict"),
    ],
)
def test_each_way_to_be_undecodable_has_its_code(
    codec: Codec, value: bytes | None, kind: str, said: str
) -> None:
    with pytest.raises(Undecodable) as refused:
        codec.decode(TOPIC, value)

    assert refused.value.kind == kind
    assert said in refused.value.reason


def written_by_another(change: dict[str, Any], schema: dict[str, Any]) -> tuple[Codec, bytes]:
    """A codec and a value of a foreign writer, whose schema and fields differ from ours."""

    class Store(MemoryStore):
        def schema_of(self, schema_id: int) -> dict[str, Any]:
            return schema

        def subjects_of(self, schema_id: int) -> list[str]:
            return [f"{TOPIC}-value"]

    body = io.BytesIO()
    fields = {**verdict().to_avro(), **change}
    fastavro.schemaless_writer(body, fastavro.parse_schema(deepcopy(schema)), fields)
    return Codec(Store()), struct.pack(">bI", 0, 1) + body.getvalue()


def test_a_broken_contract_names_the_field_and_not_its_value() -> None:
    schema = plain_schema("ExpertVerdict")
    [revision] = [field for field in schema["fields"] if field["name"] == "revision"]
    [rationale] = [field for field in schema["fields"] if field["name"] == "rationale"]
    rationale["type"] = ["null", "bytes"]
    revision["type"] = "int"
    foreign, value = written_by_another({"rationale": b"\xff" + SECRET.encode()}, schema)

    with pytest.raises(Undecodable) as refused:
        foreign.decode(TOPIC, value)

    assert SECRET not in refused.value.reason
    assert len(refused.value.reason.splitlines()) == 1


def test_a_symbol_that_we_do_not_know_is_undecodable() -> None:
    schema = plain_schema("ExpertVerdict")
    [kind] = [field for field in schema["fields"] if field["name"] == "kind"]
    kind["type"]["symbols"].append("escalate")
    foreign, value = written_by_another({"kind": "escalate"}, schema)

    with pytest.raises(Undecodable, match="escalate") as refused:
        foreign.decode(TOPIC, value)

    assert refused.value.kind == "unresolvable"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "opoi.ExpertVerdict", "fields": [{"name": "a", "type": "opoi.Nothing"}]},
        {"type": "record", "name": "opoi.ExpertVerdict", "fields": 7},
        {"type": "nonsense"},
        {"name": "opoi.ExpertVerdict"},
    ],
)
def test_a_schema_that_is_no_avro_is_unresolvable(schema: dict[str, Any]) -> None:
    class Store(MemoryStore):
        def schema_of(self, schema_id: int) -> dict[str, Any]:
            return schema

    with pytest.raises(Undecodable) as refused:
        Codec(Store()).decode(TOPIC, b"\x00\x00\x00\x00\x07body")

    assert refused.value.kind == "unresolvable"


def test_a_record_of_another_topic_is_not_written(codec: Codec) -> None:
    with pytest.raises(Unencodable, match=r"opoi.alerts carries Alert, not opoi.ExpertVerdict"):
        codec.encode("opoi.alerts", verdict())


def test_a_record_that_was_never_checked_names_the_field_and_not_its_value(codec: Codec) -> None:
    with pytest.raises(Unencodable, match="revision") as refused:
        codec.encode(TOPIC, verdict().model_copy(update={"revision": SECRET, "rationale": SECRET}))

    assert SECRET not in str(refused.value)


def test_raw_topics_are_not_decoded(codec: Codec) -> None:
    with pytest.raises(CatalogError, match=r"opoi.dead-letters carries raw bytes"):
        codec.decode("opoi.dead-letters", b"anything")


def test_physical_names_lead_to_their_subjects() -> None:
    store = MemoryStore()
    store.register("prod.verdicts-value", plain_schema("ExpertVerdict"))
    renamed = Codec(store, SubjectNames({TOPIC: "prod.verdicts"}))

    assert renamed.decode(TOPIC, renamed.encode(TOPIC, verdict())) == verdict()
    with pytest.raises(NotRegistered, match=r"expert.verdicts-value"):
        Codec(store).encode(TOPIC, verdict())


def test_the_memory_store_refuses_what_a_registry_would() -> None:
    store = MemoryStore()
    store.register("a-value", plain_schema("Tick"))
    changed = plain_schema("Tick")
    changed["fields"].append({"name": "zone", "type": "string"})

    with pytest.raises(DeployRefused, match="field zone: new and without a default"):
        store.register("a-value", changed)
    assert store.register("b-value", changed) == store.register("b-value", changed)


# records


def test_a_time_is_utc_and_whole_milliseconds() -> None:
    at = datetime(2026, 5, 1, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))

    made = Tick(stage="join", partition=0, partitions=8, at=at)

    assert made.at == datetime(2026, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert made.at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": datetime(2026, 5, 1)}, "has no time zone"),
        ({"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))}, "no UTC time between the years"),
        ({"partition": 2**31}, "less than 2147483648"),
        ({"partition": None}, "valid integer"),
        ({"end_offsets": ({"topic": "a", "offset": 2**63},)}, "less than 9223372036854775808"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_a_record_that_the_wire_cannot_carry_is_never_made(change: dict[str, Any], said: str) -> None:
    fields = {"stage": "join", "partition": 0, "partitions": 8, "at": datetime(2026, 5, 1, tzinfo=UTC)}

    with pytest.raises(ValidationError, match=said):
        Tick.model_validate(fields | change)


def test_a_record_does_not_change() -> None:
    offset = EndOffset(topic="agent.decisions", offset=3)

    with pytest.raises(ValidationError, match="frozen"):
        offset.offset = 4  # type: ignore[misc]
    assert Turn(role="user").parts == ()
