"""What anybody writes into a topic that workers read whole stops no worker, and the rest of it is read."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from schemas.deploy import apply_schemas, apply_topics
from schemas.identity import sha256
from schemas.log_events import RECORD_LEFT_OUT
from schemas.record import Record
from schemas.records import Artifact, Cancellation, Spending
from schemas.registry import ConfluentRegistry
from streams.agents.artifact_store import ArtifactStore
from streams.core.budgets import Allowance
from streams.runtime import metrics
from streams.runtime.kafka_clients import CheckedProducer
from streams.runtime.model_runs import pause
from streams.stages.replay.admission import Admission
from testkit.hostile import frame, hostile_schemas
from testkit.running_stack import RunningStack
from tests.broker.wire import Wire, own_wire
from tests.unit.stages.replay.replay_samples import request
from tests.unit.stages.replay.test_admission import cancellation, ran

NOW = datetime.now(UTC)
RECORDS = {"agent.artifacts": "Artifact", "opoi.cancellations": "Cancellation", "opoi.spending": "Spending"}


@pytest.fixture(scope="module")
def wire(stack: RunningStack) -> Wire:
    own = own_wire(stack.settings)
    apply_topics(own, lambda _: None)
    apply_schemas(own, lambda _: None)
    return own


def hostile_values(wire: Wire, topic: str) -> Iterator[bytes | None]:
    """Bytes that no record of the topic can be made of."""
    yield from (None, b"", b"no frame", b"\xff" * 100, b"[" * 100_000)
    for schema_id in (0, 2**31 - 1, 2**31, 2**32 - 1):
        yield frame(schema_id, b"body")
    registry = ConfluentRegistry(wire.registry)
    for number, schema in enumerate(hostile_schemas(RECORDS[topic])):
        schema_id = registry.register(f"{wire.kafka.physical(topic)}.{number}-value", schema)
        yield frame(schema_id, b"\x02" * 200_000)


def send(wire: Wire, topic: str, *values: bytes | None, key: str = "key") -> None:
    producer = CheckedProducer(wire.kafka)
    for value in values:
        producer.send(topic, key, value)
    producer.flush()


def left_out(topic: str) -> float:
    return sum(
        sample.value
        for family in metrics.LEFT_OUT.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["topic"] == topic
    )


def written(wire: Wire, topic: str, record: Record) -> bytes:
    return wire.codec().encode(topic, record)


def test_bulletins_are_read_past_what_is_no_record(wire: Wire) -> None:
    called_off: Cancellation = cancellation(2)
    spent: Spending = ran(NOW)
    negative = spent.model_copy(update={"spent": spent.spent.model_copy(update={"tokens": -5})})
    bad = {topic: list(hostile_values(wire, topic)) for topic in ("opoi.cancellations", "opoi.spending")}
    bad["opoi.spending"].append(written(wire, "opoi.spending", negative))
    send(
        wire,
        "opoi.cancellations",
        *bad["opoi.cancellations"],
        written(wire, "opoi.cancellations", called_off),
    )
    send(wire, "opoi.spending", *bad["opoi.spending"], written(wire, "opoi.spending", spent))
    words = [b"[" * 100_000, b"\xff", b"7", json.dumps({"paused": "yes"}).encode()]
    send(wire, "opoi.controls", *words, key="replay")
    pause.publish_pause(wire.kafka, "replay", paused=True, reason="prices")
    before = {topic: left_out(topic) for topic in (*bad, "opoi.controls")}
    bulletins = Admission(wire.kafka, wire.codec(), "replay", Allowance(tokens=100))

    with capture_logs() as logs:
        bulletins.catch_up()

    assert bulletins.is_cancelled(request(case_number=1))
    assert bulletins._spendings.why_not("media_buyer", Allowance(tokens=100), NOW) is not None
    assert bulletins._spendings.why_not("media_buyer", Allowance(tokens=101), NOW) is None
    assert bulletins.controls.current.paused
    for topic, count in before.items():
        number = len(words) if topic == "opoi.controls" else len(bad[topic])
        assert left_out(topic) - count == number
        said = [line for line in logs if line["event"] == RECORD_LEFT_OUT.text and line["topic"] == topic]
        assert len(said) == number
        assert all(line["error"] and line["kind"] for line in said)

    # and what comes while it works
    send(wire, "opoi.cancellations", *bad["opoi.cancellations"])
    send(wire, "opoi.cancellations", written(wire, "opoi.cancellations", cancellation(9, decision_id="d9")))
    give_up = datetime.now(UTC) + timedelta(seconds=30)
    while not bulletins.is_cancelled(request(case_number=1, decision_id="d9")):
        assert datetime.now(UTC) < give_up
        bulletins.refresh()
    bulletins.close()


def test_artifacts_are_found_past_what_is_no_record(wire: Wire) -> None:
    content = b"behind all of them"
    artifact = Artifact(
        artifact_id=sha256(content),
        kind="system_prompt",
        agent="media-buyer",
        name="prompt",
        version="1",
        media_type="text/markdown",
        content=content,
        registered_at=NOW,
    )
    bad = [value for value in hostile_values(wire, "agent.artifacts") if value is not None]
    send(wire, "agent.artifacts", *bad, key="same partition")
    send(wire, "agent.artifacts", written(wire, "agent.artifacts", artifact), key="same partition")
    before = left_out("agent.artifacts")
    store = ArtifactStore(wire.kafka, wire.codec(), patience=30)

    assert store.get(artifact.artifact_id, "system_prompt") == artifact
    assert left_out("agent.artifacts") - before == len(bad)
    store.close()
