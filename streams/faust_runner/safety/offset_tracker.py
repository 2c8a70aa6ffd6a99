"""What a worker has finished, per source partition, in its present assignment.

Only these offsets may be committed: Faust's own list of acknowledged records also has records that it
dropped (docs/faust.md).
"""

from collections.abc import Iterator
from typing import NamedTuple


class Source(NamedTuple):
    """A source partition by its physical topic name."""

    topic: str
    partition: int


class OffsetTracker:
    """Next offset to finish per source; empty after each change of the assignment."""

    def __init__(self) -> None:
        self.assignment = 0
        """Number of the present assignment; work begun in an earlier one does not count."""
        self._next: dict[Source, int] = {}
        self._base: dict[Source, int] = {}
        self._held: set[Source] = set()

    def forget(self) -> None:
        """The assignment changes: what follows is read again from the committed offsets."""
        self.assignment += 1
        self._next.clear()
        self._base.clear()
        self._held.clear()

    def begin(self, source: Source, offset: int) -> None:
        """`offset` is the first one to finish here: the broker's committed offset or the log's start."""
        self._base.setdefault(source, offset)
        self._next.setdefault(source, offset)

    def next_offset(self, source: Source) -> int | None:
        """The offset to finish next; None before `begin`."""
        return self._next.get(source)

    def finish(self, source: Source, offset: int, assignment: int) -> bool:
        """Everything up to and including `offset` is finished; False if the assignment has changed."""
        if assignment != self.assignment or source in self._held:
            return False
        if offset + 1 > self._next[source]:
            self._next[source] = offset + 1
        return True

    def hold(self, source: Source, assignment: int) -> None:
        """Nothing more of `source` counts in this assignment: an event was released."""
        if assignment == self.assignment:
            self._held.add(source)

    def is_held(self, source: Source) -> bool:
        """Whether `hold` was called in this assignment."""
        return source in self._held

    def committable(self) -> Iterator[tuple[Source, int]]:
        """Sources in which something was finished, with the offset to commit."""
        for source, offset in self._next.items():
            if offset > self._base[source]:
                yield source, offset

    def progress(self) -> int:
        """A number that changes whenever something is finished."""
        return self.assignment + sum(self._next.values())
