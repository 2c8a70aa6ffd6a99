"""A consumer, a ClickHouse and a producer in memory, which do what a test tells them to."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaException, TopicPartition

from schemas.codec import Codec
from schemas.memory import MemoryStore
from sinks.clickhouse import BatchRefused
from sinks.tables import Table
from streams.core.contract import Headers
from streams.runtime.offsets import Source
from streams.stages.sink.batch import Arrived
from tests.samples import NOON, sample

CODEC = Codec(MemoryStore.whole())
TOPIC_ID = UUID("0b9fc1a2-5f6e-4d3c-8b7a-1e2d3c4b5a69")
MILLISECONDS = int(NOON.timestamp() * 1000)


def verdict(offset: int, partition: int = 0, value: bytes | None = None) -> Arrived:
    """A message with a verdict; its revision is its offset."""
    record = sample("ExpertVerdict").model_copy(update={"revision": offset})
    return arrived("expert.verdicts", offset, value or CODEC.encode("expert.verdicts", record), partition)


def arrived(
    topic: str,
    offset: int,
    value: bytes | None,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Arrived:
    """A message; the physical topic is called as the logical one."""
    return Arrived(topic, Source(topic, partition), offset, MILLISECONDS, b"k", value, tuple(headers))


Poll = Sequence[Arrived] | Callable[[], Sequence[Arrived] | None]


class FakeFeed:
    """Gives what is in `polls`, one entry a poll, or what it answers when called. Then stops the sink."""

    def __init__(self, polls: Sequence[Poll], happened: list[str]) -> None:
        self.polls = deque(polls)
        self.happened = happened
        self.committed: dict[Source, int] = {}
        self.held = False
        self.stop: Callable[[], None] = lambda: None
        self.revoke: Callable[[frozenset[Source]], None]
        self.lose: Callable[[frozenset[Source]], None]

    def start(self, on_revoked: Any, on_lost: Any) -> None:
        self.revoke, self.lose = on_revoked, on_lost

    def receive(self, seconds: float) -> list[Arrived]:
        if self.held:
            time.sleep(seconds)  # as a poll of paused partitions does
        if not self.polls:
            self.stop()
            return []
        found = self.polls.popleft()
        return list((found() if callable(found) else found) or ())

    def hold(self, held: bool) -> None:
        self.held = held
        self.happened.append("hold" if held else "go on")

    def commit(self, ends: Mapping[Source, int]) -> None:
        self.committed |= ends
        self.happened.append("commit")

    def close(self) -> None:
        self.revoke(frozenset(self.committed))


class FakeStore:
    """Tables in memory. `away` holds what the next inserts raise; `refuses` says which rows are bad."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        self.rows: dict[str, list[Any]] = {}
        self.away: deque[Exception] = deque()
        self.refuses: Callable[[Any], bool] = lambda row: False

    def insert(self, table: Table, rows: Sequence[Any]) -> None:
        if self.away:
            raise self.away.popleft()
        if any(self.refuses(row) for row in rows):
            raise BatchRefused("a row is bad")
        self.rows.setdefault(table.name, []).extend(rows)
        self.happened.append(f"insert {table.name}")

    def column(self, table: Table, name: str) -> list[Any]:
        """A column of what was landed."""
        place = [column.name for column in table.landed].index(name)
        return [row[place] for row in self.rows.get(table.name, [])]


class FakeLetters:
    """The producer of dead letters; `fails` is what `flush` raises."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        self.sent: list[tuple[bytes | None, bytes | None, Headers]] = []
        self.fails: Exception | None = None

    def send(self, topic: str, key: bytes | None, value: bytes | None, *, headers: Headers) -> None:
        assert topic == "opoi.dead-letters"
        self.sent.append((key, value, tuple(headers)))

    def flush(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.happened.append("flush")


class FakeConsumer:
    """What the feed needs of confluent-kafka's consumer."""

    def __init__(self) -> None:
        self.polls: deque[list[Any]] = deque()
        self.during: Callable[[], None] = lambda: None
        """What happens in the middle of the next poll."""
        self.paused: list[list[TopicPartition]] = []
        self.resumed = 0
        self.commits: list[dict[tuple[str, int], int]] = []
        self.commit_fails: deque[KafkaException] = deque()
        self.refused: set[int] = set()
        self.held = [TopicPartition("expert.verdicts", 0), TopicPartition("expert.verdicts", 1)]

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.topics, self.on_assign, self.on_revoke, self.on_lost = topics, on_assign, on_revoke, on_lost

    def consume(self, number: int, seconds: float) -> list[Any]:
        during, self.during = self.during, lambda: None
        during()
        return self.polls.popleft() if self.polls else []

    def assignment(self) -> list[TopicPartition]:
        return self.held

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused.append(partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.resumed += 1

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        if self.commit_fails:
            raise self.commit_fails.popleft()
        self.commits.append({(each.topic, each.partition): each.offset for each in offsets})
        return [_Answer(each, each.partition in self.refused) for each in offsets]

    def close(self) -> None:
        self.on_revoke(self, self.held)


class _Answer:
    def __init__(self, at: TopicPartition, refused: bool) -> None:
        self.topic, self.partition, self.offset = at.topic, at.partition, at.offset
        self.error = "stale" if refused else None
