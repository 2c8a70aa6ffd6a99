"""What other programs send, good and bad, through the whole stack, and while a part of it is away."""

import io
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import fastavro
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from agent.media_buyer.definition import artifacts, media_buyer
from local_stack.processes import WORKERS
from local_stack.supervise import Supervisor, tail
from schemas.catalog import plain_schema
from schemas.codec import Codec
from schemas.errors import RegistryAway
from schemas.identity import decision_key
from schemas.log_events import CLICKHOUSE_UNREACHABLE, REGISTRY_UNREACHABLE
from schemas.record import Record
from schemas.records import AgentDecision
from schemas.registry import ConfluentRegistry, make_codec
from sinks.clickhouse import ClickHouse, ClickHouseAway
from sinks.dead_letters import DeadLetter, parse_dead_letter
from streams.core.message import from_milliseconds
from streams.runtime.kafka_clients import as_bytes, header_pairs, make_consumer
from streams.settings import Settings
from testkit.builders import EPOCH, decision, verdict
from testkit.running_stack import MAY_END, RunningStack, running_stack, worker_ends

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

AGENT = media_buyer().spec.name
PARTS = {f"{one.kind}": one.artifact_id for one in artifacts(media_buyer(), EPOCH)}
DECISIONS, VERDICTS = "agent.decisions", "expert.verdicts"
PATIENCE_SECONDS = 150
AWAY_SECONDS = 8
"""With the broker's own stop and start longer than the session of a group."""
HEADERS = [("traceparent", b"00-4bf92f3577b34da6-01"), ("origin", b"\x00\xff")]

Pair = tuple[str, bytes, bytes]
"""A decision's id, its bytes, those of its verdict."""
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True)
class Bad:
    """A record that nothing can be made of, and what its dead letters must say."""

    topic: str
    key: str
    value: bytes | None
    kind: str
    says: str
    by: frozenset[str] = frozenset({"join", "sink"})
    astray: bool = False


class Flow:
    """The running stack as a producer and a reader of its topics and tables see it."""

    def __init__(self, running: RunningStack) -> None:
        self.home = running.home
        self.settings: Settings = running.settings
        self.supervisor = Supervisor(running.home)
        self.registry = ConfluentRegistry(running.settings.registry)
        self.client = SchemaRegistryClient(running.settings.registry.client_config())
        self.codec: Codec = make_codec(running.settings)
        self.store = ClickHouse(running.settings.clickhouse)
        self.pids = self.workers()

    def encoded(self, topic: str, record: Record) -> bytes:
        """Framed by Confluent's serializer with the settings that docs/for-agent-teams.md asks for."""
        serialize: AvroSerializer = AvroSerializer(
            self.client,
            self.client.get_latest_version(f"{topic}-value").schema,
            conf={"auto.register.schemas": False, "use.latest.version": True},
        )
        value: bytes | None = serialize(record.to_avro(), SerializationContext(topic, MessageField.VALUE))
        assert value is not None
        return value

    def pair(self, name: str) -> Pair:
        """A decision and an expert's verdict on it, as bytes; the verdict asks for no runs."""
        of = decision(
            name,
            agent=AGENT,
            prompt_id=PARTS["system_prompt"],
            toolset_id=PARTS["toolset"],
            spec_id=PARTS["agent_spec"],
        )
        said = verdict(name, "decline", agent=AGENT, verdict_id=f"v-{name}")
        return name, self.encoded(DECISIONS, of), self.encoded(VERDICTS, said)

    def produce(
        self, records: Sequence[tuple[str, str, bytes | None]], partition: int = -1, compression: str = "none"
    ) -> list[Message]:
        """Sends (topic, key, value) as any other program does; where the broker put them, in order."""
        sent: list[Message] = []
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": compression,
                "log_level": 0,
            }
        )

        def delivered(error: object, message: Message) -> None:
            assert error is None, error
            sent.append(message)

        for topic, key, value in records:
            producer.produce(topic, value, key, partition, delivered, headers=list(HEADERS))
            assert producer.flush(60) == 0
        return sent

    def send(self, *pairs: Pair, compression: str = "none") -> None:
        """Sends pairs, each decision before its verdict."""
        for name, decided, said in pairs:
            key = decision_key(AGENT, name)
            self.produce([(DECISIONS, key, decided), (VERDICTS, key, said)], compression=compression)

    def read(self, topic: str) -> list[Message]:
        """All that stands in a topic now."""
        consumer = make_consumer(self.settings.kafka, "flow", log_level=0)
        try:
            listed = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            ends = {each: consumer.get_watermark_offsets(TopicPartition(topic, each))[1] for each in listed}
            consumer.assign([TopicPartition(topic, each, 0) for each, end in ends.items() if end])
            found: list[Message] = []
            while sum(ends.values()) > len(found):
                message = consumer.poll(10)
                assert message is not None, f"{len(found)} of {sum(ends.values())} records of {topic}"
                found.append(message)
            return found
        finally:
            consumer.close()

    def records(self, topic: str) -> list[Any]:
        """The records of a topic."""
        return [self.codec.decode(topic, as_bytes(one.value())) for one in self.read(topic)]

    @property
    def partitions(self) -> int:
        """Partitions of the topics."""
        assert self.settings.kafka.partitions is not None
        return self.settings.kafka.partitions

    def partition(self, key: str) -> int:
        """Where a record of this key belongs."""
        return int(murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions

    def letters(self) -> list[tuple[DeadLetter, Message]]:
        """The dead letters."""
        return [
            (parse_dead_letter(header_pairs(one.headers())), one) for one in self.read("opoi.dead-letters")
        ]

    def reviews(self, *names: str) -> list[tuple[str, str]]:
        """Decisions of these names with the status of each of their reviews, as ClickHouse has them."""
        sql = (
            "SELECT decision_id, status FROM reviews WHERE has({names:Array(String)}, decision_id) ORDER BY 1"
        )
        return [(name, status) for name, status in self.store.query(sql, {"names": list(names)}).result_rows]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns once `condition` holds; else fails with what the stack says of itself."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            # what was stopped may not be quite back
            with suppress(KafkaException, ClickHouseAway, RegistryAway):
                if condition():
                    return
            assert time.monotonic() < end, f"{what}: not within {PATIENCE_SECONDS} s\n{self.report()}"
            time.sleep(0.3)

    def until_joined(self, *pairs: Pair) -> None:
        """Returns once ClickHouse has one review of each pair, and each of its records once."""
        names = [name for name, *_ in pairs]
        self.until(
            lambda: self.reviews(*names) == [(name, "joined") for name in sorted(names)],
            f"reviews of {', '.join(names)}",
        )
        self.until(lambda: self.coordinates(names) == [(name, 2) for name in sorted(names)], "their records")

    def coordinates(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """From how many records ClickHouse has these decisions and their verdicts."""
        where = "WHERE has({names:Array(String)}, decision_id)"
        both = " UNION ALL ".join(
            f"SELECT decision_id, _topic_id, _partition, _offset FROM {table} {where}"
            for table in ("agent_decisions_raw", "expert_verdicts_raw")
        )
        count = "uniqExact(_topic_id, _partition, _offset)"
        sql = f"SELECT decision_id, {count} FROM ({both}) GROUP BY 1 ORDER BY 1"
        return [(name, count) for name, count in self.store.query(sql, {"names": list(names)}).result_rows]

    def workers(self) -> dict[str, int | None]:
        """Process ids of the workers."""
        return {one.name: one.pid for one in self.supervisor.states() if one.name in WORKERS}

    def ends(self) -> list[tuple[str, int]]:
        """Workers that ended by themselves, and their exit codes."""
        return worker_ends(self.home)

    def waits(self, name: str, part: str) -> int:
        """How often this worker's log says that it waits for the registry or ClickHouse."""
        url, event = {
            "registry": (self.settings.registry.url, REGISTRY_UNREACHABLE),
            "clickhouse": (self.settings.clickhouse.url, CLICKHOUSE_UNREACHABLE),
        }[part]
        lines = self.home.log(name).read_text().splitlines()
        return sum(event.text in line and f"{url} does not answer" in line for line in lines)

    def report(self) -> str:
        """Dispositions, ends of workers and the last lines of their logs."""
        try:
            found = [
                f"{one.stage} {one.topic}[{one.partition}]@{one.offset} {one.outcome}/{one.reason}"
                for one in self.records("opoi.dispositions")
            ]
        except (KafkaException, RegistryAway, AssertionError) as error:
            found = [f"dispositions cannot be read: {error}"]
        logs = [
            f"{name}: {line[:300]}"
            for name in WORKERS
            for line in tail(self.home.log(name), 15)
            if line.strip()
        ]
        return "\n".join([*found, f"ended: {self.ends()}", *logs])


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """A stack with workers, on which a verdict waits seconds for its decision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPOI_PIPELINE__DECISION_WAIT_HOURS", "0.001")
        patch.setenv("OPOI_PIPELINE__TICK_SECONDS", "1")
        with running_stack(tmp_path_factory.mktemp("flow") / "home", workers=True) as running:
            made = Flow(running)
            yield made
            made.store.close()
            made.client.close()


# the registry first, since no worker has needed the schema of a decision yet
@pytest.mark.parametrize(("part", "waiting"), [("registry", ("join", "sink")), ("clickhouse", ("sink",))])
def test_what_is_away_is_waited_for_and_said(flow: Flow, part: str, waiting: tuple[str, ...]) -> None:
    pairs = [flow.pair(f"{part}-{number}") for number in range(4)]
    said = {name: flow.waits(name, part) for name in waiting}
    flow.supervisor.stop_process(part)
    flow.send(*pairs[:-1])
    flow.until(lambda: all(flow.waits(name, part) > count for name, count in said.items()), "they wait")

    flow.supervisor.start_process(part)
    flow.send(pairs[-1])
    flow.until_joined(*pairs)
    assert flow.letters() == []
    assert_workers_stand(flow)


def test_a_broker_that_is_away_for_a_while_loses_nothing(flow: Flow) -> None:
    pairs = [flow.pair(f"kafka-{number}") for number in range(6)]
    flow.send(*pairs[:3])
    flow.supervisor.stop_process("kafka")
    time.sleep(AWAY_SECONDS)
    flow.supervisor.start_process("kafka")
    flow.send(*pairs[3:])

    flow.until_joined(*pairs)
    assert flow.letters() == []
    assert_workers_stand(flow)


def assert_workers_stand(flow: Flow) -> None:
    """Each worker lives on, or ended in a way that costs no record anything and was started again."""
    ended = flow.ends()
    assert {code for _, code in ended} <= MAY_END, flow.report()
    flow.until(lambda: all(flow.workers().values()), "all workers run")
    changed = {name for name, pid in flow.workers().items() if pid != flow.pids[name]}
    assert changed <= {name for name, _ in ended}, flow.report()


def test_what_any_producer_compresses_is_joined(flow: Flow) -> None:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    pairs = [flow.pair(f"compressed-{codec}") for codec in codecs]
    for codec, pair in zip(codecs, pairs, strict=True):
        flow.send(pair, compression=codec)

    flow.until_joined(*pairs)


def bad_records(flow: Flow, good: Pair) -> Iterator[Bad]:
    """One of each kind on each topic, under the key of `good`."""
    name, decided, said = good
    key = decision_key(AGENT, name)
    for topic, own, other in ((DECISIONS, decided, said), (VERDICTS, said, decided)):
        unknown = struct.pack(">bI", 0, 2147480000) + own[5:]
        yield Bad(topic, key, b"\xff\xfe no record", "not_framed", "starts with ff fe 20 6e 6f")
        yield Bad(topic, key, unknown, "unknown_schema_id", "no schema 2147480000")
        yield Bad(topic, key, other, "wrong_record", f"{topic} carries")
        yield Bad(topic, key, own[:-1], "truncated", f"ends after {len(own) - 6} bytes")
        yield Bad(topic, key, b"", "empty_body", "the value is empty")
        yield Bad(topic, key, None, "empty_body", "the value is empty")
    newer, body = with_another_kind(name)
    registered = flow.registry.register("newer-producer-value", newer)
    assert registered != struct.unpack_from(">bI", said)[1]
    yield Bad(VERDICTS, key, said[:5] + body, "unresolvable", "the body is no ExpertVerdict")
    foreign = struct.pack(">bI", 0, registered) + body
    yield Bad(VERDICTS, key, foreign, "wrong_subject", "is registered under newer-producer-value, not under")
    # what the sink can read it lands, whatever the join makes of it
    other_name, other_decided, other_said = flow.pair(f"{name}-another")
    only = frozenset({"join"})
    yield Bad(VERDICTS, key, other_said, "wrong_key", f"the message key is b'{key}'", only)
    own_key = decision_key(AGENT, other_name)
    yield Bad(DECISIONS, own_key, other_decided, "wrong_partition", "murmur2", only, astray=True)


def with_another_kind(name: str) -> tuple[dict[str, Any], bytes]:
    """A newer producer's schema of verdicts, and a body with the kind that only it has."""
    newer = deepcopy(plain_schema("ExpertVerdict"))
    [kind] = [field["type"] for field in newer["fields"] if field["name"] == "kind"]
    kind["symbols"].append("shrug")
    body = io.BytesIO()
    odd = verdict(name, agent=AGENT).to_avro() | {"kind": "shrug"}
    fastavro.schemaless_writer(body, fastavro.parse_schema(deepcopy(newer)), odd)
    return newer, body.getvalue()


def test_bad_records_end_whole_in_the_dead_letters_and_hold_up_nothing(flow: Flow) -> None:
    good = flow.pair("after-bad-ones")
    sent: dict[Place, tuple[Bad, Message]] = {}
    for bad in bad_records(flow, good):
        partition = (flow.partition(bad.key) + 1) % flow.partitions if bad.astray else -1
        [put] = flow.produce([(bad.topic, bad.key, bad.value)], partition)
        sent[bad.topic, *coordinates(put)] = bad, put
    flow.send(good)
    flow.until_joined(good)

    expected = sorted((stage, place) for place, (bad, _) in sent.items() for stage in bad.by)
    flow.until(lambda: len(flow.letters()) >= len(expected), "dead letters")
    letters = flow.letters()
    assert sorted((letter.stage, place_of(letter)) for letter, _ in letters) == expected, flow.report()
    for letter, message in letters:
        bad, put = sent[place_of(letter)]
        assert (message.key(), message.value()) == (bad.key.encode(), bad.value)
        assert letter.original_headers == tuple(HEADERS)
        assert letter.timestamp == from_milliseconds(put.timestamp()[1])
        assert (letter.error_type, letter.replays) == (bad.kind, 0)
        assert bad.says in letter.error, letter
    assert_workers_stand(flow)


def place_of(letter: DeadLetter) -> Place:
    """Where the record stood that was given up."""
    return letter.topic, letter.partition, letter.offset


def coordinates(put: Message) -> tuple[int, int]:
    """Partition and offset of an acknowledged record."""
    partition, offset = put.partition(), put.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def test_a_decision_with_other_content_under_a_known_id_is_rejected(flow: Flow) -> None:
    pair = flow.pair("said-twice")
    flow.send(pair)
    other = flow.codec.decode_as(DECISIONS, pair[1], AgentDecision).model_copy(update={"rationale": "Other."})
    [again] = flow.produce([(DECISIONS, decision_key(AGENT, pair[0]), flow.encoded(DECISIONS, other))])
    partition, offset = coordinates(again)

    sql = "SELECT reason_code, reason FROM rejections WHERE stage = 'join' AND decision_id = 'said-twice'"
    flow.until(lambda: len(flow.store.query(sql).result_rows) > 0, "rejection of said-twice")
    [(code, reason)] = flow.store.query(sql).result_rows
    assert code == "id_conflict"
    assert f"this one is at {DECISIONS}[{partition}]@{offset}" in reason
    flow.until(lambda: flow.reviews(pair[0]) == [(pair[0], "joined")], "review of said-twice")


def test_a_verdict_whose_decision_never_comes_is_pending_and_expires(flow: Flow) -> None:
    name, _, said = flow.pair("never-decided")
    [put] = flow.produce([(VERDICTS, decision_key(AGENT, name), said)])

    flow.until(lambda: flow.reviews(name) == [(name, "decision_missing")], "expiry of never-decided")
    outcomes = {
        (one.outcome, one.reason)
        for one in flow.records("opoi.dispositions")
        if (one.stage, one.topic, one.partition, one.offset) == ("join", VERDICTS, *coordinates(put))
    }
    assert outcomes == {("pending", "awaiting_decision"), ("expired", "decision_missing")}
