"""The batch of the sink, and the bisection of a batch that ClickHouse refused."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.dead_letter_kinds import DeadLetterKind
from sinks.clickhouse import BatchRefused
from sinks.rows import Row
from sinks.tables import Table
from streams.core.contract import Coordinates
from streams.core.message import Message
from streams.runtime.delivery import Delivery
from streams.runtime.offsets import Source


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a message becomes a dead letter; `kind` is a short stable code."""

    kind: DeadLetterKind
    reason: str


@dataclass(eq=False, slots=True)
class Entry:
    """One record and its result: a row, a dead letter, or (neither) nothing."""

    delivery: Delivery
    topic_id: UUID
    """Kafka's id of the record's topic."""
    table: Table | None = None
    row: Row | None = None
    refusal: Refusal | None = None

    @property
    def arrived(self) -> Message:
        """The record as received."""
        return self.delivery.arrived


@dataclass(slots=True)
class Batch:
    """Messages that are not committed yet. `rows`, `bytes` and `seconds` bound it; times are monotonic."""

    rows: int
    bytes: int
    seconds: float
    entries: list[Entry] = field(default_factory=list)
    landed: set[str] = field(default_factory=set)
    """Tables whose rows of this batch are in ClickHouse."""
    _size: int = 0
    _since: float = 0.0
    _closed: bool = False

    def add(self, entry: Entry, now: float) -> None:
        """Adds one message."""
        if not self.entries:
            self._since = now
        self.entries.append(entry)
        self._size += len(entry.arrived.value or b"")
        if entry.table is not None:
            # to land the others of its table again is harmless
            self.landed.discard(entry.table.name)

    def is_full(self) -> bool:
        """Whether it must be landed before another message is added."""
        return self._closed or len(self.entries) >= self.rows or self._size >= self.bytes

    def close(self) -> None:
        """Accepts no further message."""
        self._closed = bool(self.entries)

    def is_due(self, now: float) -> bool:
        """Whether it must be landed now."""
        return bool(self.entries) and (self.is_full() or now - self._since >= self.seconds)

    def to_land(self) -> dict[str, list[Entry]]:
        """Entries with a row, by the name of their table, without tables that are landed."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.table is not None and entry.refusal is None and entry.table.name not in self.landed:
                found.setdefault(entry.table.name, []).append(entry)
        return found

    def dead_letters(self) -> list[Entry]:
        """Entries that become dead letters."""
        return [entry for entry in self.entries if entry.refusal is not None]

    def coordinates(self) -> list[Coordinates]:
        """Coordinates of its records."""
        return [entry.arrived.coordinates for entry in self.entries]

    def oldest(self) -> datetime | None:
        """Kafka timestamp of the oldest record."""
        return min((entry.arrived.timestamp for entry in self.entries), default=None)

    def drop(self, sources: Collection[Source]) -> None:
        """Drops the records of partitions that were revoked."""
        self.entries = [entry for entry in self.entries if entry.delivery.source not in sources]
        self._size = sum(len(entry.arrived.value or b"") for entry in self.entries)

    def clear(self) -> None:
        """Drops everything."""
        self.entries, self.landed, self._size, self._closed = [], set(), 0, False


def insert_bisecting(
    entries: Sequence[Entry], land: Callable[[Sequence[Entry]], None]
) -> Iterator[tuple[Entry, str | None]]:
    """Lands `entries`, or halves of them if ClickHouse refuses. Yields the entries in order, a refused one
    with its reason.

    Lazy: a caller that stops iterating stops the search. Other exceptions of `land` pass through.
    """
    try:
        land(entries)
    except BatchRefused as error:
        if len(entries) == 1:
            yield entries[0], str(error)
            return
        middle = len(entries) // 2
        yield from insert_bisecting(entries[:middle], land)
        yield from insert_bisecting(entries[middle:], land)
    else:
        yield from ((entry, None) for entry in entries)
