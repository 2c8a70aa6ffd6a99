"""What is done of each partition, and which offset can be committed.

Work ends out of order, so the committed offset stays at the oldest unfinished record. What is done beyond
it is in the commit's metadata: the next owner of the partition skips it instead of paying for it again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

_FORMAT = "opoi1"
MAX_OPEN = 400
"""Unfinished offsets that a commit names; so many fit into the 4096 bytes that brokers allow by default."""


class Source(NamedTuple):
    """A partition by its physical topic name."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Position:
    """Everything below `end` is done except the offsets in `unfinished`, which are sorted."""

    unfinished: tuple[int, ...]
    end: int

    @classmethod
    def of(cls, unfinished: Iterable[int], end: int) -> Self:
        """The position; with more than `MAX_OPEN` unfinished offsets it claims less than is done."""
        ordered = sorted(unfinished)
        if len(ordered) > MAX_OPEN:
            return cls(tuple(ordered[:MAX_OPEN]), ordered[MAX_OPEN])
        return cls(tuple(ordered), end)

    @classmethod
    def parse(cls, offset: int, metadata: str | None) -> Self:
        """The committed position; metadata that is not ours is ignored."""
        parts = (metadata or "").split(":")
        if len(parts) == 3 and parts[0] == _FORMAT:
            try:
                span = int(parts[1])
                further = [offset + int(each) for each in parts[2].split(",") if each]
            except ValueError:
                return cls((), offset)
            if span > 0 and all(offset < each < offset + span for each in further):
                return cls((offset, *sorted(further)), offset + span)
        return cls((), offset)

    @property
    def offset(self) -> int:
        """The offset to commit: the first one that is not done."""
        return self.unfinished[0] if self.unfinished else self.end

    @property
    def metadata(self) -> str:
        """The metadata to commit; the inverse of `parse`."""
        if not self.unfinished or self.end - self.unfinished[0] == len(self.unfinished):
            return ""  # nothing is done beyond the offset
        first, *further = self.unfinished
        return f"{_FORMAT}:{self.end - first}:{','.join(str(each - first) for each in further)}"

    def covers(self, offset: int) -> bool:
        """Whether the record at `offset` counts as done."""
        return offset < self.end and offset not in self.unfinished


class PartitionOffsets:
    """One partition during one assignment. `live` until the assignment ends."""

    def __init__(self, committed: Position | None) -> None:
        self.live = True
        self.committed = committed
        self._end = committed.end if committed else None
        self._unfinished = set(committed.unfinished) if committed else set()
        self._restored = set(self._unfinished)
        self._first = committed.offset if committed else 0
        self._begin = self._first

    def take(self, offset: int, last: int | None = None) -> bool:
        """The record at `offset` was received; False if it was done in an earlier assignment.

        `last`: the last offset that it represents, if that is not its own.
        """
        if offset < self._first:
            # the topic was created again: what is known is about other records
            self._end, self._unfinished, self._restored, self._first = None, set(), set(), 0
        if self._restored:
            # records are received in order, so a gap was deleted by the topic's retention
            self._unfinished -= {each for each in self._restored if each < offset}
            self._restored = {each for each in self._restored if each > offset}
        if self._end is not None and offset < self._end:
            return offset in self._unfinished
        if self._end is None:
            self._begin = offset
        self._end = (offset if last is None else last) + 1
        self._unfinished.add(offset)
        return True

    def done(self, offset: int) -> None:
        """The record at `offset` is finished."""
        self._unfinished.discard(offset)

    def position(self) -> Position | None:
        """What can be committed now; None before the first record."""
        return None if self._end is None else Position.of(self._unfinished, self._end)

    def is_news(self, position: Position) -> bool:
        """Whether a commit of `position` would change anything at the broker."""
        if self.committed is None:
            return position.offset != self._begin or bool(position.metadata)
        return (position.offset, position.metadata) != (self.committed.offset, self.committed.metadata)

    def is_committed(self, offset: int) -> bool:
        """Whether the broker knows that the record at `offset` is done."""
        return self.committed is not None and self.committed.covers(offset)


class Offsets:
    """The partitions of the present assignment."""

    def __init__(self) -> None:
        self._partitions: dict[Source, PartitionOffsets] = {}

    def __contains__(self, source: Source) -> bool:
        return source in self._partitions

    def __len__(self) -> int:
        return len(self._partitions)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._partitions)

    def __getitem__(self, source: Source) -> PartitionOffsets:
        return self._partitions[source]

    def begin(self, source: Source, committed: Position | None) -> None:
        """`source` is assigned; `committed`: its committed position."""
        self.end(source)
        self._partitions[source] = PartitionOffsets(committed)

    def end(self, source: Source) -> None:
        """`source` is no longer assigned."""
        if (partition := self._partitions.pop(source, None)) is not None:
            partition.live = False

    def due(self) -> dict[Source, Position]:
        """Positions to commit."""
        found = ((source, partition.position()) for source, partition in self._partitions.items())
        return {
            source: position
            for source, position in found
            if position is not None and self._partitions[source].is_news(position)
        }

    def committed(self, positions: Mapping[Source, Position]) -> None:
        """The broker took `positions`."""
        for source, position in positions.items():
            if source in self._partitions:
                self._partitions[source].committed = position
