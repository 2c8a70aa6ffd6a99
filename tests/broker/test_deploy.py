"""Deploying to a real broker and a real registry: again and again, and where something is in the way."""

import json
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas.catalog import plain_schema, topics
from schemas.deploy import (
    Fault,
    apply_schemas,
    apply_topics,
    check_registered,
    check_topics,
    schema_faults,
    topic_faults,
)
from schemas.errors import DeployRefused
from streams.cli.main import run
from testkit.running_stack import RunningStack
from tests.broker.wire import Wire, own_wire


@pytest.fixture
def wire(stack: RunningStack) -> Wire:
    """Nothing deployed yet."""
    return own_wire(stack.settings)


def admin(wire: Wire) -> AdminClient:
    config: dict[str, Any] = {**wire.kafka.client_config()}
    return AdminClient(config)


def until(ask: Callable[[], list[Fault]]) -> list[Fault]:
    """The faults, once there are any: a broker shows a change a moment after it took it."""
    for _ in range(100):
        if found := ask():
            return found
        time.sleep(0.05)
    return []


Opoi = Callable[..., tuple[int, str, str]]


@pytest.fixture
def opoi(
    wire: Wire, stack: RunningStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Opoi:
    """The command line on this wire: exit code, stdout, stderr."""
    monkeypatch.setenv("OPOI_HOME", str(stack.home.folder))
    monkeypatch.setenv("OPOI_KAFKA__TOPIC_NAMES", json.dumps(wire.kafka.topic_names))
    monkeypatch.setenv("OPOI_KAFKA__PARTITIONS", str(wire.kafka.partitions))

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["opoi", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        code = ended.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return command


def test_topics_are_created_once_as_in_the_catalog(wire: Wire) -> None:
    assert {result.outcome for result in check_topics(wire)} == {"missing"}
    said: list[str] = []

    created = apply_topics(wire, said.append)
    again = apply_topics(wire, said.append)

    assert [result.topic for result in created] == list(topics())
    assert {result.outcome for result in created} == {"created"}
    assert {result.outcome for result in again} == {"unchanged"}
    assert len(said) == len(topics())
    assert topic_faults(wire) == []
    listed = admin(wire).list_topics(timeout=60).topics
    counts = {name: len(listed[wire.kafka.physical(name)].partitions) for name in topics()}
    assert counts == {name: spec.partitions or wire.kafka.partitions for name, spec in topics().items()}


def test_a_changed_configuration_is_found_and_mended(wire: Wire) -> None:
    apply_topics(wire, lambda _: None)
    physical = wire.kafka.physical("opoi.reviews")
    change = ConfigResource(
        ResourceType.TOPIC,
        physical,
        incremental_configs=[
            ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
        ],
    )
    client = admin(wire)  # its requests end with it
    [done] = client.incremental_alter_configs([change]).values()
    done.result(timeout=60)
    wanted = topics()["opoi.reviews"].retention_ms

    assert {str(fault) for fault in until(lambda: topic_faults(wire))} == {
        f"topic {physical}: retention.ms is 60000, wanted {wanted}; run `opoi topics apply`",
        f"topic {physical}: cleanup.policy is compact, wanted delete; run `opoi topics apply`",
    }
    results = {result.topic: result.outcome for result in apply_topics(wire, lambda _: None)}
    assert [topic for topic, outcome in results.items() if outcome == "altered"] == ["opoi.reviews"]
    assert topic_faults(wire) == []


def test_a_partition_count_is_never_changed_and_nothing_else_is_either(
    wire: Wire, stack: RunningStack
) -> None:
    apply_topics(wire, lambda _: None)
    names = {**wire.kafka.topic_names, "opoi.alerts": wire.kafka.physical("opoi.alerts") + ".new"}
    more = Wire(wire.kafka.model_copy(update={"partitions": 3, "topic_names": names}), wire.registry)

    with pytest.raises(DeployRefused) as refused:
        apply_topics(more, lambda _: None)

    [line] = str(refused.value).splitlines()
    assert wire.kafka.physical("agent.artifacts") in line
    assert "has 2 partitions, wanted 3; set OPOI_KAFKA__PARTITIONS=2 to keep it" in line
    assert "where nothing is in it yet, delete it with the broker's tools and run `opoi topics apply`" in line
    assert names["opoi.alerts"] not in admin(wire).list_topics(timeout=60).topics
    fewer = Wire(wire.kafka.model_copy(update={"partitions": 1}), wire.registry)
    with pytest.raises(DeployRefused, match="has 2 partitions, wanted 1"):
        apply_topics(fewer, lambda _: None)


def test_schemas_are_registered_once_with_their_compatibility(wire: Wire) -> None:
    assert {result.outcome for result in check_registered(wire)} == {"not registered"}
    said: list[str] = []

    first = apply_schemas(wire, said.append)
    again = apply_schemas(wire, said.append)

    assert {result.outcome for result in first} == {"registered"}
    assert {result.outcome for result in again} == {"unchanged"}
    assert [result.schema_id for result in first] == [result.schema_id for result in again]
    assert len(said) == len(first)
    assert schema_faults(wire) == []


def test_a_compatibility_that_somebody_loosened_is_found_and_mended(wire: Wire) -> None:
    apply_schemas(wire, lambda _: None)
    subject = f"{wire.kafka.physical('opoi.gap-reports')}-value"
    with SchemaRegistryClient(wire.registry.client_config()) as client:
        client.set_compatibility(subject, "NONE")

    assert [str(fault) for fault in schema_faults(wire)] == [
        f"{subject}: GapReport: compatibility is NONE, must be BACKWARD_TRANSITIVE; run `opoi schemas apply`"
    ]
    apply_schemas(wire, lambda _: None)
    assert schema_faults(wire) == []


def test_a_schema_that_cannot_read_what_is_there_is_refused_by_field(wire: Wire) -> None:
    subject = f"{wire.kafka.physical('opoi.gap-reports')}-value"
    other = deepcopy(plain_schema("GapReport"))
    other["fields"] = [field for field in other["fields"] if field["name"] != "gap_class"]
    with SchemaRegistryClient(wire.registry.client_config()) as client:
        client.register_schema(subject, Schema(json.dumps(other), "AVRO"))

    with pytest.raises(DeployRefused) as refused:
        apply_schemas(wire, lambda _: None)

    [line] = str(refused.value).splitlines()
    assert line.startswith(
        f"{subject}: GapReport refused: field gap_class: new and without a default (against version 1)"
    )
    outcomes = {result.topic: result.outcome for result in check_registered(wire)}
    assert [topic for topic, outcome in outcomes.items() if outcome != "unchanged"] == ["opoi.gap-reports"]
    [fault] = schema_faults(wire)
    assert "field gap_class" in fault.problem


def test_a_topic_that_nothing_writes_yet_changes_in_any_way(wire: Wire) -> None:
    assert not topics()["opoi.alerts"].produced
    subject = f"{wire.kafka.physical('opoi.alerts')}-value"
    other = deepcopy(plain_schema("Alert"))
    other["fields"] = [field for field in other["fields"] if field["name"] != "starts_at"]
    with SchemaRegistryClient(wire.registry.client_config()) as client:
        client.set_compatibility(subject, "BACKWARD_TRANSITIVE")
        client.register_schema(subject, Schema(json.dumps(other), "AVRO"))

    outcomes = {result.topic: result.outcome for result in apply_schemas(wire, lambda _: None)}

    assert outcomes["opoi.alerts"] == "registered"
    assert schema_faults(wire) == []


@pytest.mark.parametrize(("noun", "check"), [("topics", ["check"]), ("schemas", ["check", "--registry"])])
def test_the_command_line_checks_applies_and_lists(opoi: Opoi, noun: str, check: list[str]) -> None:
    assert opoi(noun, *check)[0] == 3
    code, out, told = opoi(noun, "apply", "--json")
    assert code == 0
    assert {row["outcome"] for row in json.loads(out)} <= {"created", "registered"}
    assert len(told.splitlines()) == len(json.loads(out))
    code, out, _ = opoi(noun, *check)
    assert code == 0
    assert {line.split()[2] for line in out.splitlines()[1:]} == {"unchanged"}
    code, out, _ = opoi(noun, "list", "--json")
    assert code == 0
    assert {row.get("name") or row["topic"] for row in json.loads(out)} <= set(topics())


@pytest.mark.parametrize(
    ("command", "variable", "address"),
    [
        (["topics", "check"], "OPOI_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9"),
        (["topics", "apply"], "OPOI_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9"),
        (["schemas", "check", "--registry"], "OPOI_REGISTRY__URL", "http://127.0.0.1:9"),
        (["schemas", "apply"], "OPOI_REGISTRY__URL", "http://127.0.0.1:9"),
        (["agent", "list"], "OPOI_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9"),
    ],
)
def test_what_is_away_is_told_in_one_line(
    opoi: Opoi, monkeypatch: pytest.MonkeyPatch, command: list[str], variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)

    code, out, told = opoi(*command)

    assert code == 1
    assert out == ""
    [line] = told.splitlines()
    assert address in line
