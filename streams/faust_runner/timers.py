"""Deadlines of the keys of each partition, and when they may fire."""

import heapq
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.metadata import version
from typing import Any

import structlog

from schemas.errors import shortened
from schemas.identity import sha256
from schemas.log_events import DEADLINE_QUARANTINED, DEADLINE_TOO_LARGE
from schemas.records import Tick
from schemas.settings import KafkaSettings
from streams.core.contract import Coordinates
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.runtime import metrics
from streams.runtime.crash_guard import CrashGuard

_LONGEST_KEY = 512

log = structlog.get_logger(__name__)


class Deadlines:
    """Deadlines by key; setting one again replaces it."""

    def __init__(self) -> None:
        self._when: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: str, when: datetime | None) -> None:
        """The deadline of `key` is `when`; None: it has none."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))

    def pop_due(self, now: datetime, limit: int) -> list[str]:
        """Removes and returns at most `limit` keys with a deadline at or before `now`, earliest first."""
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            when, key = heapq.heappop(self._heap)
            if self._when.get(key) == when:
                del self._when[key]
                due.append(key)
        return due


class DeadlineTimers:
    """Which deadlines may fire, and when."""

    def __init__(
        self,
        stage: str,
        kafka: KafkaSettings,
        tracker: OffsetTracker,
        guard: ContiguityGuard,
        guards: CrashGuard,
        most_at_once: int,
    ) -> None:
        self.most_at_once = most_at_once
        self._stage = stage
        self._kafka = kafka
        self._tracker = tracker
        self._guard = guard
        self._guards = guards
        self._version = version("opoi")
        self._partitions: dict[int, Deadlines] = {}
        self._seen: dict[Source, int] = {}

    def forget(self) -> None:
        """The assignment changes."""
        self._partitions.clear()
        self._seen.clear()

    def set(self, partition: int, key: str, when: Any) -> None:
        """Sets the deadline of `key`, if those of its partition were collected already."""
        deadlines = self._partitions.get(partition)
        if deadlines is not None:
            deadlines.set(key, when)

    async def of_partition(self, partition: int, scan: Callable[[int], Awaitable[Deadlines]]) -> Deadlines:
        """The deadlines of `partition`, collected by `scan` at the first tick of an assignment."""
        if partition not in self._partitions:
            assignment = self._tracker.assignment
            found = await scan(partition)
            if assignment != self._tracker.assignment:
                return Deadlines()
            self._partitions[partition] = found
        return self._partitions[partition]

    async def sources_reached(self, tick: Tick) -> bool:
        """Whether every source was read up to its end as of the tick."""
        for end in tick.end_offsets:
            source = Source(self._kafka.physical(end.topic), tick.partition)
            reached = await self._guard.begin(source)
            if reached >= end.offset:
                continue
            moved = self._seen.get(source) != reached
            self._seen[source] = reached
            # a log may end in transaction markers, which are never delivered; look only if nothing moves
            if moved or not await self._guard.passes(source, reached, end.offset):
                return False
            self._tracker.finish(source, end.offset - 1, self._tracker.assignment)
        return True

    def begin_deadline(self, partition: int, key: str) -> bool:
        """Marks that the deadline of `key` fires; False if that killed this version too often."""
        # the mark has no room for a longer name, and deaths are counted by it
        named = key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}#{sha256(key.encode())}"
        at = Coordinates(f"deadline/{self._version}/{named}", partition, -1)
        if self._guards.why_dead(at):
            metrics.QUARANTINED_DEADLINES.labels(self._stage).inc()
            DEADLINE_QUARANTINED.emit(log, key=shortened(key), file=str(self._guards.deaths.file(at)))
            return False
        self._guards.mark.set(at)
        return True

    def skip_too_large(self, key: str, why: str) -> None:
        """Counts and logs that outputs of the deadline of `key` do not fit; no input can be a dead letter."""
        metrics.QUARANTINED_DEADLINES.labels(self._stage).inc()
        DEADLINE_TOO_LARGE.emit(log, key=shortened(key), error=why)

    def end_deadlines(self, tick: Coordinates) -> None:
        """Marks the tick again after its deadlines."""
        self._guards.mark.set(tick)
