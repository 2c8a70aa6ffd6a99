"""The folder of schemas and topics is whole, so that the wire's contract can be read from it alone."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from schemas import generate, records
from schemas.catalog import AVSC, EXAMPLES, NAMESPACE, TOPICS, TopicSpec, references, schema, topics
from schemas.codec import Codec, record_type
from schemas.decode_limits import unsafe
from schemas.deploy import check_schemas
from schemas.examples import examples
from schemas.identity import canonical, deterministic_id, request_hash, sha256
from schemas.memory import MemoryStore
from schemas.record import Record
from schemas.records import AgentDecision, AgentTrace, Artifact, Part, ReplayRequest, SnapshotEntry
from schemas.stages import stages
from tests.contract.client_files import VECTORS

SPECS = list(topics().values())
WITH_RECORD = [spec for spec in SPECS if spec.record is not None]
RAW = [spec for spec in SPECS if spec.record is None]
FILES = sorted(AVSC.glob("*.avsc"))
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def name_of(spec: TopicSpec) -> str:
    return spec.name


def raw(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("spec", SPECS, ids=name_of)
def test_a_topic_says_what_it_is_and_whose(spec: TopicSpec) -> None:
    # dots and underscores would collide in Kafka's metric names
    assert re.fullmatch(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*", spec.name)
    assert spec.description.endswith(".")
    assert spec.owner
    assert spec.key
    assert spec.producers
    assert spec.consumers


@pytest.mark.parametrize("spec", WITH_RECORD, ids=name_of)
def test_identity_and_key_are_fields_of_the_record(spec: TopicSpec) -> None:
    assert spec.record is not None
    fields = record_type(spec.record).model_fields

    assert spec.identity
    assert set(spec.identity) <= set(fields) | ({"key"} if spec.name.endswith("-changelog") else set())
    assert set(spec.version) <= set(fields)
    if spec.key != "none" and not spec.name.endswith("-changelog"):
        assert set(spec.key.split("/")) <= set(fields)


@pytest.mark.parametrize("spec", RAW, ids=name_of)
def test_a_raw_topic_states_no_record(spec: TopicSpec) -> None:
    assert spec.example is None
    assert spec.identity == ()


def test_every_record_fits_into_a_dead_letter_and_its_way_back() -> None:
    largest = max(spec.max_message_bytes for spec in WITH_RECORD)
    carriers = {
        spec.name: spec.max_message_bytes for spec in RAW if "dead" in spec.name or "retry" in spec.name
    }

    assert len(carriers) > 1
    assert {name for name, size in carriers.items() if size <= largest} == set()


def test_keyed_stages_read_topics_of_the_common_partition_count() -> None:
    keyed = {spec.name.removeprefix("opoi.ticks.") for spec in SPECS if spec.name.startswith("opoi.ticks.")}
    common = {"join", "trigger"}
    fixed = {spec.name for spec in SPECS if spec.partitions is not None and common & set(spec.consumers)}

    assert keyed >= common
    assert fixed == set()


def test_every_stage_that_is_redriven_has_its_retry_topic() -> None:
    redriven = {spec.name.removeprefix("opoi.retry.") for spec in RAW if spec.name.startswith("opoi.retry.")}
    dead = next(spec for spec in RAW if spec.name == "opoi.dead-letters")

    assert redriven == set(dead.producers)


def test_no_schema_example_or_topic_file_is_an_orphan() -> None:
    used = {f"{NAMESPACE}.{spec.record}" for spec in WITH_RECORD}
    for path in FILES:
        used |= set(references(raw(path)))

    assert {path.stem for path in FILES} == used, (
        "schemas/avsc: a topic or another schema refers to each file"
    )
    records = {spec.example for spec in WITH_RECORD}
    assert {path.name for path in EXAMPLES.iterdir()} == records | {VECTORS.name}, (
        "schemas/examples: each topic with a record has a file, named by `example` in its YAML"
    )
    assert {path.name for path in TOPICS.iterdir()} == {f"{spec.name}.yaml" for spec in SPECS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_schema_explains_itself(path: Path) -> None:
    found = raw(path)

    assert path.stem == f"{found['namespace']}.{found['name']}"
    assert found["doc"].endswith(".")
    for field in found.get("fields", []):
        assert SNAKE.fullmatch(field["name"])
        assert field["doc"].endswith("."), field["name"]
        if isinstance(field["type"], list):
            assert field["type"][0] == "null", field["name"]
            assert field["default"] is None, field["name"]
    for symbol in found.get("symbols", []):
        assert SNAKE.fullmatch(symbol)


@pytest.mark.parametrize("spec", WITH_RECORD, ids=name_of)
def test_a_schema_is_safe_to_decode_with(spec: TopicSpec) -> None:
    assert spec.record is not None
    assert unsafe(schema(spec.record)) is None


def test_what_nothing_writes_yet_is_said_of_each_topic_and_no_other() -> None:
    """A stage that begins to write one names it: then `produced: false` leaves its YAML."""
    named = {
        node.value
        for package in ("agent", "streams", "sinks")
        for path in (AVSC.parents[1] / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    # the sink reads what others may write one day
    of_stages = {
        topic
        for stage in stages().values()
        for topic in (*stage.writes, *(stage.sources if stage.accounted else ()))
    }
    made = {spec.name for spec in WITH_RECORD} & of_stages
    ours = made | {spec.name for spec in WITH_RECORD if spec.name in named}
    produced = {spec.name for spec in WITH_RECORD if spec.produced}

    assert produced == ours, (
        f"in schemas/topics/: write `produced: false` into {sorted(produced - ours)}, which no code of ours "
        f"writes or reads; remove it from {sorted(ours - produced)}"
    )


def test_the_typed_records_are_those_of_the_schemas() -> None:
    assert generate.TARGET.read_text() == generate.render(), "run `python -m schemas.generate`"


def test_todays_schemas_read_what_every_earlier_version_wrote() -> None:
    results = check_schemas()
    if results[0].outcome == "not run":
        pytest.skip(results[0].problems[0])

    assert {result.topic: result.problems for result in results if result.is_fault} == {}
    assert {result.topic for result in results} == {spec.name for spec in WITH_RECORD}
    # history only grows; a topic that is not committed yet has none
    assert sum(result.versions or 0 for result in results) >= 25


# the examples


@pytest.mark.parametrize("spec", WITH_RECORD, ids=name_of)
def test_an_example_survives_the_wire(spec: TopicSpec) -> None:
    codec = Codec(MemoryStore.whole())

    for record in examples(spec.name):
        assert codec.decode(spec.name, codec.encode(spec.name, record)) == record


@pytest.mark.parametrize("spec", WITH_RECORD, ids=name_of)
def test_no_two_examples_are_the_same_record(spec: TopicSpec) -> None:
    identity = [*spec.identity, *spec.version]
    if identity == ["key"]:
        return
    ids = [tuple(getattr(record, field) for field in identity) for record in examples(spec.name)]

    assert len(set(ids)) == len(ids)


def held(record: BaseModel) -> Iterator[Record]:
    """A record and every one within it."""
    assert isinstance(record, Record)
    yield record
    for field in type(record).model_fields:
        value = getattr(record, field)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Record):
                yield from held(part)


def all_held() -> Iterator[Record]:
    for spec in WITH_RECORD:
        for record in examples(spec.name):
            yield from held(record)


def test_every_field_has_a_value_in_some_example() -> None:
    shown: set[tuple[str, str]] = set()
    for record in all_held():
        fields = type(record).model_fields
        shown |= {
            (record.schema_name, name)
            for name, field in fields.items()
            if field.is_required() or getattr(record, name) != field.default
        }
    wanted = {
        (kind.schema_name, name)
        for kind in vars(records).values()
        if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
        for name in kind.model_fields
    }

    # a record that a person started has no cause on a topic
    without = {(record, name) for record, name in wanted - shown if name != "caused_by"}
    assert without == set(), "give each field a value in some entry of schemas/examples"


def test_ids_and_hashes_of_the_examples_are_computed_from_what_they_name() -> None:
    artifacts = {record.artifact_id for record in all_held() if isinstance(record, Artifact)}
    for record in all_held():
        match record:
            case Artifact():
                assert record.artifact_id == sha256(record.content)
            case AgentDecision():
                assert {record.prompt_id, record.toolset_id, record.spec_id} <= artifacts
            case SnapshotEntry():
                assert record.request_hash == request_hash(record.tool, json.loads(record.arguments_json))
            case AgentTrace() | ReplayRequest():
                assert record.replay_id == deterministic_id(
                    record.agent,
                    record.decision_id,
                    record.verdict_id,
                    record.revision,
                    record.arm,
                    record.strength,
                    record.sample,
                    record.target.agent_version,
                )


def test_json_in_the_examples_is_canonical() -> None:
    for record in all_held():
        for name in type(record).model_fields:
            value = getattr(record, name)
            if name.endswith("_json") and value is not None:
                assert value == canonical(value), f"{record.schema_name}.{name}"


def test_a_response_in_the_examples_answers_a_call_before_it() -> None:
    for record in all_held():
        if isinstance(record, AgentDecision | AgentTrace):
            parts = [part for turn in record.turns for part in turn.parts]
            calls: dict[str | None, Part] = {}
            for part in parts:
                if part.kind == "function_call":
                    calls[part.call_id] = part
                elif part.kind == "function_response":
                    call = calls[part.call_id]
                    assert call.tool is not None
                    assert part.request_hash == request_hash(call.tool, json.loads(call.arguments_json or ""))
