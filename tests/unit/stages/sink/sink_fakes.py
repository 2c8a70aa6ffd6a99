"""A consumer, a ClickHouse and a producer in memory, which do what a test tells them to."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from schemas.codec import Codec
from schemas.memory import MemoryStore
from sinks.clickhouse import BatchRefused
from sinks.tables import Table
from streams.core.contract import Coordinates, Headers
from streams.core.message import Message
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.delivery import Delivery
from streams.runtime.offsets import Offsets, PartitionOffsets, Source
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings
from streams.stages.sink.loop import Sink
from tests.samples import NOON, sample

CODEC = Codec(MemoryStore.whole())
TOPIC_ID = UUID("0b9fc1a2-5f6e-4d3c-8b7a-1e2d3c4b5a69")


def verdict(offset: int, partition: int = 0, value: bytes | None = None) -> Message:
    """A record with a verdict; its revision is its offset."""
    record = sample("ExpertVerdict").model_copy(update={"revision": offset})
    return arrived("expert.verdicts", offset, value or CODEC.encode("expert.verdicts", record), partition)


def arrived(
    topic: str,
    offset: int,
    value: bytes | None,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Message:
    """A record; the physical topic is called as the logical one."""
    return Message(Coordinates(topic, partition, offset), NOON, b"k", value, tuple(headers))


def delivery(record: Message) -> Delivery:
    """A record in hand, of a partition that nobody looks at."""
    at = record.coordinates
    return Delivery(record, Source(at.topic, at.partition), PartitionOffsets(None))


def guards(folder: Path, **worker: Any) -> CrashGuard:
    """What a worker keeps on disk."""
    return CrashGuard.in_folders(WorkerFolders(folder, "sink", "1"), WorkerSettings(**worker))


Poll = Sequence[Message] | Callable[[], Sequence[Message] | None]


class FakeFeed:
    """Gives what is in `polls`, one entry a poll, or what it answers when called. Then stops the sink."""

    def __init__(self, polls: Sequence[Poll], happened: list[str]) -> None:
        self.polls = deque(polls)
        self.happened = happened
        self.offsets = Offsets()
        self.committed: dict[Source, int] = {}
        self.held = False
        self.sink: Sink

    def start(self) -> None:
        """Nothing: partitions are there when their first record is."""

    def receive(self, most: int, seconds: float) -> list[Delivery]:
        if self.held:
            time.sleep(seconds)  # as a poll of paused partitions does
        if not self.polls:
            self.sink.stop()
            return []
        found = self.polls.popleft()
        return [self._delivery(one) for one in (found() if callable(found) else found) or ()]

    def _delivery(self, record: Message) -> Delivery:
        at = record.coordinates
        source = Source(at.topic, at.partition)
        if source not in self.offsets:
            self.offsets.begin(source, None)
        assert self.offsets[source].take(at.offset)
        return Delivery(record, source, self.offsets[source])

    def revoke(self, going: frozenset[Source]) -> None:
        """Partitions are about to go elsewhere."""
        self.sink.revoked(going)
        self.commit()
        for source in going:
            self.offsets.end(source)

    def lose(self, gone: frozenset[Source]) -> None:
        """Partitions went elsewhere."""
        self.sink.drop(gone)
        for source in gone:
            self.offsets.end(source)

    def hold(self, held: bool) -> None:
        self.held = held
        self.happened.append("hold" if held else "go on")

    def commit(self) -> bool:
        due = self.offsets.due()
        if due:
            self.committed |= {source: position.offset for source, position in due.items()}
            self.offsets.committed(due)
            self.happened.append("commit")
        return True

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
