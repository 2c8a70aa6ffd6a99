"""Feeds, kills and counts: what the Faust benches and fault tests share."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.stages import DEAD_LETTERS, DISPOSITIONS, changelog_of, group_of
from streams.runtime.kafka_clients import header_pairs
from testkit.faust.pairs import LEFT, PAIRS, RIGHT, Half, kafka, specs, stage_spec

PARTITIONS = 8
COORDINATOR_MOVES = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
Place = tuple[str, int, int]


def _patiently(ask: Callable[[], list[TopicPartition]], seconds: float = 60) -> list[TopicPartition]:
    """A fresh broker has no coordinator yet for a group that was never there."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in COORDINATOR_MOVES or time.monotonic() > give_up:
                raise
            time.sleep(0.2)


@dataclass
class Bed:
    """The topics of one run at one broker, and what was fed into them."""

    bootstrap: str
    stage: str
    home: Path
    partitions: int = PARTITIONS
    fed: dict[Place, str] = field(default_factory=dict)
    """Id by logical topic, partition and offset."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kafka = kafka(self.bootstrap, self.stage)
        self.home.mkdir(parents=True, exist_ok=True)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": 6 * 1024 * 1024,
            }
        )

    def make_topics(self, **partitions: int) -> None:
        """Creates the topics; `partitions` by logical topic name overrides the common count."""
        wanted = [
            NewTopic(
                self.kafka.physical(name),
                partitions.get(name, self.partitions),
                1,
                config=spec.topic_config(),
            )
            for name, spec in specs(self.stage).items()
        ]
        for future in self.admin.create_topics(wanted).values():
            future.result(20)

    def send(self, topic: str, half_id: str, number: int, text: str = "") -> None:
        """Feeds one half."""
        value = Half(id=half_id, number=number, text=text).model_dump_json().encode()
        self.send_raw(topic, half_id.encode(), value, half_id)

    def send_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        name: str,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> None:
        """Feeds bytes; `name` is how they are counted."""

        def delivered(error: KafkaError | None, message: object) -> None:
            with self._lock:
                if error is not None:
                    self._failed.append(str(error))
                else:
                    self.fed[topic, message.partition(), message.offset()] = name  # type: ignore[attr-defined]

        physical = self.kafka.physical(topic)
        while True:
            try:
                self.producer.produce(physical, value, key, headers=headers, on_delivery=delivered)
            except BufferError:
                self.producer.poll(0.1)
            else:
                break
        self.producer.poll(0)

    def flush(self) -> None:
        """Waits until the broker has everything that was fed."""
        assert self.producer.flush(60) == 0
        assert not self._failed, self._failed[:3]

    def feed(self, topic: str, numbers: Iterable[int]) -> None:
        """Feeds one half of each id."""
        for number in numbers:
            self.send(topic, f"id{number}", number)
        self.flush()

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offsets of the stage's group by physical topic and partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group_of(self.stage)})
        try:
            wanted = [
                TopicPartition(self.kafka.physical(topic), partition)
                for topic in stage_spec(self.stage).inputs
                for partition in range(self.partitions)
            ]
            found = _patiently(lambda: consumer.committed(wanted, timeout=20))
            return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}
        finally:
            consumer.close()

    def behind(self) -> int:
        """Fed records past the committed offsets."""
        self.flush()
        committed = self.committed()
        with self._lock:
            places = list(self.fed)
        return sum(
            offset >= committed.get((self.kafka.physical(topic), partition), 0)
            for topic, partition, offset in places
        )

    def waits(self, topic: str) -> bool:
        """Whether records of `topic` lie past the committed offsets."""
        physical = self.kafka.physical(topic)
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "log_level": 0})
        try:
            ends = {
                partition: reader.get_watermark_offsets(TopicPartition(physical, partition), timeout=20)[1]
                for partition in range(self.partitions)
            }
        finally:
            reader.close()
        committed = self.committed()
        return any(committed.get((physical, partition), 0) < end for partition, end in ends.items())

    def read(self, topic: str) -> Iterator[tuple[bytes | None, bytes | None, dict[str, bytes | None]]]:
        """Everything in a topic: key, value, headers."""
        physical = self.kafka.physical(topic)
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{random.random()}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        count = len(consumer.list_topics(physical, timeout=10).topics[physical].partitions)
        consumer.assign([TopicPartition(physical, partition, 0) for partition in range(count)])
        ended = 0
        while ended < count:
            message = consumer.poll(10)
            assert message is not None, f"{topic} does not answer"
            fault = message.error()
            if fault is None:
                yield message.key(), message.value(), dict(header_pairs(message.headers()))
            else:
                assert fault.code() == KafkaError._PARTITION_EOF, fault
                ended += 1
        consumer.close()

    def report(self) -> "Report":
        """Counts what became of everything that was fed."""
        disposed = Counter(
            (found["topic"], found["partition"], found["offset"])
            for found in (json.loads(value or b"") for _, value, _ in self.read(DISPOSITIONS))
        )
        paired = {json.loads(value or b"")["id"] for _, value, _ in self.read(PAIRS)}
        dead = sum(1 for _ in self.read(DEAD_LETTERS))
        committed = self.committed()
        undone = sorted(self.fed.keys() - disposed.keys())
        lost = [
            (topic, partition, offset)
            for topic, partition, offset in undone
            if offset < committed.get((self.kafka.physical(topic), partition), 0)
        ]
        sides: dict[str, set[str]] = {}
        for (topic, _, _), name in self.fed.items():
            sides.setdefault(name, set()).add(topic)
        whole = {name for name, topics in sides.items() if topics >= {LEFT, RIGHT}}
        repeated = sum(disposed.values()) - len(disposed)
        return Report(
            fed=len(self.fed),
            lost=lost,
            undone=len(undone) - len(lost),
            unpaired=len(whole - paired),
            stale=sum(not self._is_whole(state) for name, state in self.states().items() if name in whole),
            repeated=repeated,
            dead=dead,
            disposed=len(disposed),
        )

    def states(self) -> dict[str, dict[str, object]]:
        """The last state of each id, as a worker with an empty folder would restore it."""
        found = {}
        for key, value, _ in self.read(changelog_of(self.stage)):
            found[(key or b"").decode()] = json.loads(value or b"{}")
        return found

    @staticmethod
    def _is_whole(state: dict[str, object]) -> bool:
        return state.get("left") is not None and state.get("right") is not None


@dataclass(frozen=True)
class Report:
    """What became of the records of a run."""

    fed: int
    lost: list[Place]
    """Committed past, never processed."""
    undone: int
    """Not processed, but not committed past either."""
    unpaired: int
    """Ids of which both halves were fed and no pair came."""
    stale: int
    """Such ids whose last state lacks a half."""
    repeated: int
    dead: int
    disposed: int
    """Inputs that have a disposition, of whatever was fed."""
