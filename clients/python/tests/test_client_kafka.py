"""What is sent is framed with the registered schema's id, acknowledged, and in the partition of its key."""

import gc
import io
import struct
from typing import Any

import fastavro
import pytest
from client_kit import recorder
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from opoi_client import Decision, kafka
from opoi_client.decision import schema, schema_text
from opoi_client.kafka import KafkaSink, NotSent, producer_config

BROKER = {"test.mock.num.brokers": 1}
"""librdkafka's own broker in memory."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> SchemaRegistryClient:
    """A registry in memory that has the schema; sinks made from now on use it."""
    client = SchemaRegistryClient.new_client({"url": "mock://decisions"})
    client.register_schema("agent.decisions-value", Schema(schema_text(), "AVRO"))
    monkeypatch.setattr(kafka, "SchemaRegistryClient", lambda config: client)
    return client


@pytest.fixture
def sink(registry: SchemaRegistryClient) -> KafkaSink:
    return KafkaSink("unused", "mock://decisions", producer=BROKER)


class Seen:
    """A producer that keeps what it was given, over a real one."""

    def __init__(self, sink: KafkaSink) -> None:
        self.real: Producer = sink._producer
        self.values: list[tuple[bytes, str]] = []
        sink._producer = self  # type: ignore[assignment]

    def produce(self, topic: str, value: bytes, key: str, **further: Any) -> None:
        self.values.append((value, key))
        self.real.produce(topic, value, key, **further)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def decision() -> Decision:
    run = recorder()
    run.user("Decide.")
    run.model("Escalate.")
    return run.finish("escalate", rationale="r")


def test_a_decision_is_framed_keyed_and_acknowledged(sink: KafkaSink) -> None:
    seen = Seen(sink)
    with sink:
        sink.send(decision())
    ((value, key),) = seen.values
    assert key == "refunds/d1"
    magic, schema_id = struct.unpack(">bI", value[:5])
    assert (magic, schema_id) == (0, 1)
    assert value[5:] == decision().to_avro()
    read = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema(), None)
    assert isinstance(read, dict)
    assert read["decided_at"] == decision()["decided_at"]


def test_its_connection_to_the_registry_closes_with_it(registry: SchemaRegistryClient) -> None:
    closed = []
    registry.close = lambda: closed.append(True)  # type: ignore[method-assign]
    made = KafkaSink("unused", "mock://decisions", producer=BROKER)
    with made:
        made.send(decision())
    del made
    gc.collect()
    assert closed == [True]


@pytest.mark.usefixtures("registry")
def test_a_broker_that_is_away_is_told_and_what_waits_is_tried_on() -> None:
    away = {"message.timeout.ms": 300, "log_level": 0}
    sink = KafkaSink("127.0.0.1:1", "mock://decisions", producer=away)
    sink.send(decision())
    with pytest.raises(NotSent, match=r"1 decisions were not acknowledged within 0\.05 s"):
        sink.flush(0.05)
    with pytest.raises(NotSent, match="the first refunds/d1: Local: Message timed out"):
        sink.flush(10)
    sink.flush(1)


def test_a_registry_that_is_away_is_told_in_one_line() -> None:
    sink = KafkaSink("unused", "http://127.0.0.1:1", producer=BROKER, registry={"max.retries": 0})
    with pytest.raises(NotSent, match=r"the registry http://127\.0\.0\.1:1 does not answer: ") as told:
        sink.send(decision())
    assert "\n" not in str(told.value)


def test_a_registry_without_the_schema_is_told(sink: KafkaSink, registry: SchemaRegistryClient) -> None:
    registry.delete_subject("agent.decisions-value")
    with pytest.raises(NotSent, match="run `opoi schemas apply`"):
        sink.send(decision())


def test_a_registry_that_answers_an_error_is_told(sink: KafkaSink, registry: SchemaRegistryClient) -> None:
    def busy(*_: Any) -> None:
        raise SchemaRegistryError(503, 50300, "starting")

    registry.get_latest_version = busy  # type: ignore[method-assign, assignment]
    with pytest.raises(NotSent, match=r"the registry mock://decisions answered 503 \(starting\)$"):
        sink.send(decision())


def test_a_decision_over_the_topics_limit_is_told(sink: KafkaSink) -> None:
    large = decision()
    large["rationale"] = "x" * kafka.MAX_BYTES
    with pytest.raises(NotSent, match=r"refunds/d1 has \d+ bytes; agent\.decisions takes 4194304"):
        sink.send(large)


def test_one_byte_decides_whether_a_decision_is_sent(sink: KafkaSink) -> None:
    seen, large = Seen(sink), decision()
    large["rationale"] = "x" * 4_000_000
    sink.send(large)
    large["rationale"] += "x" * (4_194_304 - len(seen.values[0][0]))
    sink.send(large)
    assert len(seen.values[1][0]) == 4_194_304
    large["rationale"] += "x"
    with pytest.raises(NotSent, match=r"has 4194305 bytes; agent\.decisions takes 4194304"):
        sink.send(large)


def test_a_decision_that_breaks_the_schema_is_told(sink: KafkaSink) -> None:
    broken = decision()
    broken["rationale"] = 7
    with pytest.raises(NotSent, match="refunds/d1 cannot be written"):
        sink.send(broken)


@pytest.mark.parametrize(
    "setting", [{"partitioner": "consistent"}, {"acks": "1"}, {"enable.idempotence": False}]
)
def test_a_setting_that_would_lose_or_misplace_decisions_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="would lose decisions or send them astray"):
        producer_config("b:1", setting)


def test_the_registry_client_waits_no_longer_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def client(config: dict[str, Any]) -> SchemaRegistryClient:
        asked.append(config)
        return SchemaRegistryClient.new_client({"url": "mock://decisions"})

    monkeypatch.setattr(kafka, "SchemaRegistryClient", client)
    KafkaSink("unused", "http://registry:8081", producer=BROKER, registry={"ssl.ca.location": "ca.pem"})
    assert asked == [{"url": "http://registry:8081", "timeout": 5, "ssl.ca.location": "ca.pem"}]


def test_the_settings_are_those_of_the_guide() -> None:
    found = producer_config("b:1", {"security.protocol": "SSL"})
    assert found["partitioner"] == "murmur2_random"
    assert (found["enable.idempotence"], found["acks"]) == (True, "all")
    assert found["security.protocol"] == "SSL"
    assert dict(kafka.REGISTRY) == {"auto.register.schemas": False, "use.latest.version": True}
