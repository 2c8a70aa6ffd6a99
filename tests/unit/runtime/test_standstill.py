"""Batches that librdkafka cannot unpack, before a consumer that must go on behind them."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.codec import Codec
from schemas.errors import BrokerAway
from schemas.examples import examples
from schemas.memory import MemoryStore
from schemas.records import Artifact
from schemas.settings import KafkaSettings
from streams.agents.artifact_store import ArtifactsAway, ArtifactStore
from streams.core.contract import Coordinates
from streams.core.unread import Unread
from streams.runtime import standstill
from streams.runtime.broadcast_topic import BroadcastTopic
from streams.runtime.consumer import WorkerConsumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.delivery import Delivery
from streams.runtime.kafka_clients import make_consumer
from streams.runtime.offsets import Source
from streams.runtime.standstill import place_of
from streams.runtime.stored_batch import first_batch
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings
from testkit.mock_cluster import MockCluster
from testkit.raw_batches import (
    CODECS,
    RawBatch,
    RawRecord,
    batch,
    blown_up,
    compressed,
    produce,
    record_bytes,
    sized,
    varint,
)

TOPIC, ARTIFACTS = "expert.verdicts", "agent.artifacts"
GOOD = RawRecord(b"k", b"good")
BODY = b"\0" + varint(0) + varint(0) + sized(b"k") + sized(b"value") + varint(0)
PARTITIONS = 4
SECONDS = 30
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def cluster() -> MockCluster:
    return MockCluster()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands is tried after a second, and the trial takes another."""
    monkeypatch.setattr(standstill, "STANDS_SECONDS", 1.0)
    monkeypatch.setattr(standstill, "SILENT_POLLS", 5)
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.1)


class Reader:
    """A member of a group on a topic of its own."""

    def __init__(self, cluster: MockCluster, folder: Path, name: str) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap, topic_names={TOPIC: name})
        self.cluster = cluster
        self.folders = WorkerFolders(folder, name, "1")
        self.guards = CrashGuard.in_folders(self.folders, WorkerSettings())
        cluster.make(name)
        self.name = name
        self.source = Source(name, 0)
        self.consumer: WorkerConsumer | None = None

    def feed(self, content: bytes, partition: int = 0) -> int:
        """Sends a batch; its first offset."""
        code, first = produce(self.cluster.bootstrap, self.name, partition, content)
        assert code == 0
        return first

    def start(self) -> WorkerConsumer:
        self.consumer = WorkerConsumer(
            self.kafka, self.name, [TOPIC], self.guards, on_revoked=lambda going: None
        )
        self.consumer.start()
        return self.consumer

    def until(self, last: dict[int, int], most: int = 500) -> list[Delivery]:
        """What comes up to the last record of each partition, done and committed."""
        consumer = self.consumer or self.start()
        found: list[Delivery] = []
        end, left = time.monotonic() + SECONDS, dict(last)
        while left:
            assert time.monotonic() < end, [one.arrived.coordinates for one in found]
            for one in consumer.receive(most, 0.1):
                found.append(one)
                if left.get(one.source.partition) == one.arrived.coordinates.offset:
                    del left[one.source.partition]
        for one in found:
            one.done()
        assert consumer.commit()
        return found

    def close(self) -> None:
        if self.consumer is not None:
            self.consumer.close()
            self.consumer = None


@pytest.fixture
def reader(cluster: MockCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    made = Reader(cluster, tmp_path, f"t{abs(hash(request.node.name))}")
    yield made
    made.close()


def lying(body: bytes, codec: str, said: int) -> bytes:
    """A batch of one record, whose length is said to differ by `said`."""
    return RawBatch(compressed(varint(len(body) + said) + body, codec), 1, CODECS[codec]).build()


def bad_checksum(count: int = 1) -> bytes:
    """A batch of lz4 whose content does not fit its checksum."""
    packed = bytearray(
        lz4.frame.compress(b"".join(record_bytes(GOOD, at) for at in range(count)), content_checksum=True)
    )
    packed[-1] ^= 1
    return RawBatch(bytes(packed), count, CODECS["lz4"]).build()


CANNOT_BE_READ: dict[str, Callable[[], bytes]] = {
    # the client says so
    "a checksum of lz4": bad_checksum,
    "bytes behind lz4": lambda: RawBatch(compressed(BODY, "lz4") + b"\0" * 9, 1, CODECS["lz4"]).build(),
    "no gzip at its end": lambda: RawBatch(gzip.compress(BODY)[:-12] + b"x" * 12, 1, CODECS["gzip"]).build(),
    "200 MB of zstd": lambda: blown_up([b"k"], 200 * MIB, "zstd"),
    # it says nothing
    "a length that lies": lambda: lying(BODY, "zstd", 1),
    "a negative length": lambda: lying(
        b"\0" + varint(0) + varint(0) + varint(-2) + sized(b"v") + varint(0), "none", 0
    ),
}


def test_batches_that_cannot_be_read_come_as_their_bytes_and_so_do_the_records_between(
    reader: Reader,
) -> None:
    expected: list[tuple[Coordinates, bytes]] = []
    last = {}
    for number, content in enumerate(made() for made in CANNOT_BE_READ.values()):
        for each in (batch([GOOD]), content, batch([GOOD])):
            offset = reader.feed(each, number % PARTITIONS)
            expected.append((Coordinates(TOPIC, number % PARTITIONS, offset), each))
            last[number % PARTITIONS] = offset
    found = {one.arrived.coordinates: one.arrived for one in reader.until(last)}
    assert found.keys() == {at for at, _ in expected}
    for at, content in expected:
        value = found[at].value
        if content == batch([GOOD]):
            assert value == b"good"
            continue
        assert isinstance(value, Unread)
        # the broker writes offset and epoch in front
        assert (value[16:], value.kind, value.last_offset) == (content[16:], "unreadable_batch", at.offset)
        assert value.reason == (
            f"the batch of the offsets {at.offset} to {at.offset} cannot be read: librdkafka gives none of "
            "its records"
        )
        assert found[at].timestamp.year == 2025


def test_one_stands_for_every_record_of_its_batch_after_a_restart_too(reader: Reader) -> None:
    reader.feed(bad_checksum(5))
    (unread,) = reader.until({0: 0})
    assert isinstance(unread.arrived.value, Unread)
    assert unread.arrived.value.last_offset == 4
    reader.close()
    last = reader.feed(batch([GOOD]))
    assert [one.arrived.coordinates.offset for one in reader.until({0: last})] == [5]


def test_one_after_the_other_one_record_at_a_time_and_no_word_of_markers(reader: Reader) -> None:
    marker = RawBatch(b"\xff", 1, CODECS["lz4"], attributes=0x20, producer=(7, 0, 0)).build()
    last = 0
    for content in (bad_checksum(2), batch([GOOD]), marker, lying(BODY, "gzip", 1), bad_checksum(), marker):
        reader.feed(content)
    last = reader.feed(batch([GOOD]))
    found = reader.until({0: last}, most=1)
    assert [(one.arrived.coordinates.offset, isinstance(one.arrived.value, Unread)) for one in found] == [
        (0, True),
        (2, False),
        (4, True),
        (5, True),
        (7, False),
    ]


def test_a_partition_that_looks_as_if_it_stood_is_tried_and_left_alone(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = reader.feed(batch([GOOD]))
    client = make_consumer(reader.kafka, "nobody", **{"enable.partition.eof": True})
    client.assign([TopicPartition(*reader.source)])
    while reader.source not in {place_of(one)[0] for one in client.consume(1, 0.1)}:
        continue
    trials = []

    def make(*given: Any, **more: Any) -> Consumer:
        trials.append(time.monotonic())
        return make_consumer(*given, **more)

    monkeypatch.setattr(standstill, "make_consumer", make)
    asked = standstill.Standstill(reader.kafka, "nobody")
    asked.begin(reader.source, last)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert asked.stands(client, [reader.source]) == []
        time.sleep(0.05)
    assert len(trials) == 1, "it is not tried again at once"
    asked.came(reader.source, last + 1)
    assert asked.stands(client, [reader.source]) == []
    client.close()


def test_while_records_are_held_back_nothing_stands(reader: Reader) -> None:
    now = 100.0
    asked = standstill.Standstill(reader.kafka, "nobody", clock=lambda: now)
    client = Waiting()
    for _ in range(50):
        assert asked.stands(client, [reader.source]) == []  # type: ignore[arg-type]
        asked.held()
        now += 0.9


class Waiting:
    """A client that has heard of records."""

    def get_watermark_offsets(self, partition: TopicPartition, cached: bool) -> tuple[int, int]:
        return 0, 1


def test_what_was_taken_back_or_compacted_away_is_for_nobody() -> None:
    mine = batch([GOOD], attributes=0x10, producer=(7, 0, 0), base_offset=30)
    for aborted, is_for_nobody in (((7, 30), True), ((7, 20), True), ((7, 31), False), ((8, 30), False)):
        found = first_batch(mine, [aborted])
        assert found is not None
        assert (found.first, found.last, found.is_passed_over) == (30, 30, is_for_nobody)
    found = first_batch(RawBatch(b"", 0, last_offset_delta=4).build() + mine, [])
    assert found is not None
    assert (found.first, found.last, found.is_passed_over) == (0, 4, True)
    assert [first_batch(mine[:size], []) for size in (0, 11, len(mine) - 1)] == [None] * 3


UNREADABLE = {"said": bad_checksum, "unsaid": lambda: lying(BODY, "zstd", 1)}


@pytest.mark.parametrize("made", UNREADABLE.values(), ids=UNREADABLE)
def test_a_broadcast_topic_is_read_behind_one_too(reader: Reader, made: Callable[[], bytes]) -> None:
    taken: list[Any] = []
    topic = BroadcastTopic(reader.kafka, TOPIC, "nobody", lambda message: taken.append(message.value()))
    for content in (batch([GOOD]), made(), batch([GOOD]), made()):
        reader.feed(content)
    until(lambda: topic.catch_up(5.0), BrokerAway)
    assert taken == [b"good"] * 2
    for content in (made(), batch([GOOD])):
        reader.feed(content)
    end = time.monotonic() + SECONDS
    while len(taken) < 3:
        assert time.monotonic() < end
        topic.refresh()
        time.sleep(0.02)
    assert taken == [b"good"] * 3
    topic.close()


@pytest.mark.parametrize("made", UNREADABLE.values(), ids=UNREADABLE)
def test_artifacts_are_read_behind_one_too(reader: Reader, made: Callable[[], bytes]) -> None:
    kafka = reader.kafka.model_copy(update={"topic_names": {ARTIFACTS: reader.name}})
    codec = Codec(MemoryStore.whole())
    store = ArtifactStore(kafka, codec, patience=1.0)
    wanted = [examples(ARTIFACTS)[number] for number in range(2)]
    for one in wanted:
        assert isinstance(one, Artifact)
        for content in (batch([RawRecord(b"k", codec.encode(ARTIFACTS, one))]), made()):
            reader.feed(content)
        until(lambda: store.get(one.artifact_id, one.kind), ArtifactsAway)  # noqa: B023  done before the next turn
    assert {one.artifact_id for one in store.all()} == {one.artifact_id for one in wanted}  # type: ignore[attr-defined]

    async def within_a_loop() -> None:
        reader.feed(made())
        until(store.all, ArtifactsAway)

    asyncio.run(within_a_loop())
    store.close()


def until(attempt: Callable[[], object], away: type[Exception]) -> None:
    """Tries until it is not `away`."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            attempt()
        except away:
            assert time.monotonic() < end
        else:
            return
