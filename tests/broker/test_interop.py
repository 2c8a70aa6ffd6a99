"""What others write is read by us, what we write is read by others: real broker, real registry."""

import io
import json
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import fastavro
import httpx2 as httpx
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from examples.support_refund.production import question, support_refund
from examples.support_refund.shop import Ticket
from opoi_client.kafka import KafkaSink
from schemas.catalog import plain, plain_schema, topics
from schemas.deploy import apply_schemas, apply_topics
from schemas.errors import NotRegistered, RegistryAway, Undecodable
from schemas.examples import examples
from schemas.identity import decision_key
from schemas.records import AgentDecision, ExpertVerdict
from schemas.registry import ConfluentRegistry
from schemas.settings import RegistrySettings
from streams.gates.eligibility import unusable
from streams.runtime.kafka_clients import CheckedProducer, make_consumer
from testkit.running_stack import RunningStack
from tests.broker.wire import Wire, own_wire
from tests.contract.test_client_round_trip import ForeignAgent, client_agent

TOPIC = "agent.decisions"
GUIDE = Path(__file__).parents[2] / "docs" / "for-agent-teams.md"
[DECISION, *_] = examples(TOPIC)


def silent(_: str) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def wire(stack: RunningStack) -> Wire:
    """Deployed topics and schemas of this module's own."""
    own = own_wire(stack.settings)
    apply_topics(own, silent)
    apply_schemas(own, silent)
    return own


@pytest.fixture
def client(wire: Wire) -> Iterator[SchemaRegistryClient]:
    """A registry client as any other program makes it."""
    with SchemaRegistryClient(wire.registry.client_config()) as made:
        yield made


def serializer(client: SchemaRegistryClient, schema: dict[str, Any] | None = None) -> AvroSerializer:
    """Confluent's serializer with the settings that the docs ask producers to use."""
    made: AvroSerializer = AvroSerializer(
        client,
        json.dumps(schema or plain_schema("AgentDecision")),
        conf={
            "auto.register.schemas": False,
            "use.latest.version": True,
            "subject.name.strategy.type": "TOPIC",
        },
    )
    return made


def context(wire: Wire, topic: str = TOPIC) -> SerializationContext:
    return SerializationContext(wire.kafka.physical(topic), MessageField.VALUE)


def read_back(wire: Wire, count: int, topic: str = TOPIC) -> Iterator[Message]:
    """Messages of the topic from its beginning."""
    consumer = make_consumer(wire.kafka, "interop", **{"group.protocol": "classic"})
    physical = wire.kafka.physical(topic)
    partitions = consumer.list_topics(physical, timeout=60).topics[physical].partitions
    consumer.assign([TopicPartition(physical, partition, 0) for partition in partitions])
    try:
        for _ in range(count):
            message = consumer.poll(20)
            assert message is not None
            assert message.error() is None
            yield message
    finally:
        consumer.close()


def test_confluents_serializer_writes_what_we_read_in_every_compression(
    wire: Wire, client: SchemaRegistryClient
) -> None:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    value = serializer(client)(DECISION.to_avro(), context(wire))
    assert value is not None
    for compression in codecs:
        producer = Producer({**wire.kafka.client_config(), "compression.type": compression})
        producer.produce(wire.kafka.physical(TOPIC), value, b"media-buyer/d")
        assert producer.flush(20) == 0

    found = [wire.codec().decode(TOPIC, one.value()) for one in read_back(wire, len(codecs))]

    assert found == [DECISION] * len(codecs)


@pytest.mark.parametrize("topic", [spec.name for spec in topics().values() if spec.record is not None])
def test_confluents_deserializer_reads_what_we_write(
    wire: Wire, client: SchemaRegistryClient, topic: str
) -> None:
    read = AvroDeserializer(client)
    codec = wire.codec()

    for record in examples(topic):
        found = read(codec.encode(topic, record), context(wire, topic))

        assert type(record).model_validate(found) == record


def test_a_frame_leads_to_its_schema_over_the_confluent_api(wire: Wire) -> None:
    schema_id = struct.unpack_from(">bI", wire.codec().encode(TOPIC, DECISION))[1]
    subject = f"{wire.kafka.physical(TOPIC)}-value"

    by_id = httpx.get(f"{wire.registry.url}/schemas/ids/{schema_id}").json()
    latest = httpx.get(f"{wire.registry.url}/subjects/{subject}/versions/latest").json()
    level = httpx.get(f"{wire.registry.url}/config/{subject}").json()

    # a registry may put names and namespaces another way
    assert plain(fastavro.parse_schema(json.loads(by_id["schema"]))) == plain_schema("AgentDecision")
    assert latest["id"] == schema_id
    assert level["compatibilityLevel"] == "BACKWARD_TRANSITIVE"


def test_our_producer_and_consumer_agree(stack: RunningStack) -> None:
    wire = own_wire(stack.settings)
    apply_topics(wire, silent)
    apply_schemas(wire, silent)
    codec = wire.codec()
    producer = CheckedProducer(wire.kafka)
    for record in examples(TOPIC):
        producer.send(TOPIC, "media-buyer/d", codec.encode(TOPIC, record))
    producer.flush()

    found = [wire.codec().decode(TOPIC, one.value()) for one in read_back(wire, len(examples(TOPIC)))]

    assert tuple(found) == examples(TOPIC)


def test_what_opoi_client_sends_is_the_record_in_the_partition_of_its_key(
    stack: RunningStack, tmp_path: Path
) -> None:
    wire = own_wire(stack.settings, partitions=4)
    apply_topics(wire, silent)
    apply_schemas(wire, silent)
    codec = wire.codec()
    agent = client_agent(support_refund(), tmp_path)
    decisions = [
        ForeignAgent(agent, ticket).decide(question(ticket.input()).parts[0].text or "", ticket.number)
        for ticket in map(Ticket, range(8))
    ]
    expected = {one.key: AgentDecision.model_validate_json(one.to_json()) for one in decisions}

    with KafkaSink(wire.kafka.bootstrap_servers, wire.registry.url, topic=wire.kafka.physical(TOPIC)) as sink:
        for decision in decisions:
            sink.send(decision)
    producer = CheckedProducer(wire.kafka)
    for key, record in expected.items():
        producer.send(TOPIC, key, codec.encode(TOPIC, record))
    producer.flush()

    found = defaultdict(list)
    for message in read_back(wire, 2 * len(expected)):
        found[message.key().decode()].append((message.partition(), codec.decode(TOPIC, message.value())))
    for key, record in expected.items():
        theirs, ours = found[key]
        assert theirs == ours
        assert theirs[1] == record
    assert len({partition for (partition, _), *_ in found.values()}) > 1


def test_the_guides_verdict_is_one(wire: Wire) -> None:
    [code] = re.findall(r"```python no-run\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for of_the_guide, here in (
        ("expert.verdicts", wire.kafka.physical("expert.verdicts")),
        ("http://127.0.0.1:18081/apis/ccompat/v7", wire.registry.url),
        ("127.0.0.1:19092", wire.kafka.bootstrap_servers),
    ):
        assert code.count(of_the_guide) == 1
        code = code.replace(of_the_guide, here)
    exec(compile(code, GUIDE.name, "exec"), {})

    [message] = read_back(wire, 1, "expert.verdicts")
    verdict = wire.codec().decode_as("expert.verdicts", message.value(), ExpertVerdict)
    key = decision_key(verdict.agent, verdict.decision_id)
    assert message.key() == key.encode()
    assert message.partition() == (murmur2(key.encode()) & 0x7FFFFFFF) % wire.kafka.partitions
    assert verdict.corrected_action is not None
    assert unusable(verdict.corrected_action, support_refund().spec.actions) is None


def test_the_registry_refuses_a_foreign_incompatible_schema(wire: Wire, client: SchemaRegistryClient) -> None:
    schema = deepcopy(plain_schema("Tick"))
    schema["fields"].append({"name": "mood", "type": "string"})
    subject = f"{wire.kafka.physical('opoi.ticks.join')}-value"

    with pytest.raises(SchemaRegistryError, match="mood") as refused:
        client.register_schema(subject, Schema(json.dumps(schema), "AVRO"))

    assert refused.value.http_status_code == 409


def test_a_writer_with_an_earlier_schema_is_read(stack: RunningStack) -> None:
    wire = own_wire(stack.settings)
    earlier = plain_schema("AgentDecision")
    earlier["fields"] = [field for field in earlier["fields"] if field["name"] != "snapshot"]
    ConfluentRegistry(wire.registry).register(f"{wire.kafka.physical(TOPIC)}-value", earlier)
    value = {name: value for name, value in DECISION.to_avro().items() if name != "snapshot"}
    with SchemaRegistryClient(wire.registry.client_config()) as client:
        written = serializer(client, earlier)(value, context(wire))
    apply_schemas(wire, silent)

    assert wire.codec().decode(TOPIC, written) == DECISION.model_copy(update={"snapshot": ()})


def test_an_id_that_the_registry_does_not_know_is_undecodable(wire: Wire) -> None:
    with pytest.raises(Undecodable, match="has no schema 2147480000") as refused:
        wire.codec().decode(TOPIC, struct.pack(">bI", 0, 2147480000) + b"body")

    assert refused.value.kind == "unknown_schema_id"


def test_a_schema_counts_where_its_subject_is_the_topics(stack: RunningStack) -> None:
    wire = own_wire(stack.settings)
    apply_schemas(wire, silent)
    subject = f"{wire.kafka.physical(TOPIC)}-value"
    newer = plain_schema("AgentDecision")
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    registry = ConfluentRegistry(wire.registry)
    schema_id = registry.register(f"another-{subject}", newer)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(newer), {**DECISION.to_avro(), "mood": "fine"})
    written = struct.pack(">bI", 0, schema_id) + body.getvalue()

    with pytest.raises(
        Undecodable, match=f"registered under another-{subject}, not under {subject}"
    ) as refused:
        wire.codec().decode(TOPIC, written)

    assert refused.value.kind == "wrong_subject"
    assert registry.register(subject, newer) == schema_id
    assert wire.codec().decode(TOPIC, written) == DECISION
    with SchemaRegistryClient(wire.registry.client_config()) as client:
        client.delete_version(subject, 2)
    assert wire.codec().decode(TOPIC, written) == DECISION


def test_a_schema_that_is_not_registered_says_what_to_run(stack: RunningStack) -> None:
    with pytest.raises(NotRegistered, match="run `opoi schemas apply`"):
        own_wire(stack.settings).codec().encode(TOPIC, DECISION)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/apis/ccompat/v7", "does not answer"),
        ("{registry}/../nowhere", "answered 404"),
    ],
)
def test_a_registry_that_cannot_be_asked_is_away_and_nothing_is_poison(
    wire: Wire, url: str, said: str
) -> None:
    value = wire.codec().encode(TOPIC, DECISION)
    lost = Wire(
        wire.kafka, RegistrySettings(url=url.replace("{registry}", wire.registry.url.rsplit("/apis", 1)[0]))
    )

    with pytest.raises(RegistryAway, match=said):
        lost.codec().decode(TOPIC, value)
    with pytest.raises(RegistryAway, match=said):
        lost.codec().encode(TOPIC, DECISION)
    with pytest.raises(RegistryAway, match=said):
        ConfluentRegistry(lost.registry).schemas_of("any")
