"""The contiguity guard: no record of a source is skipped.

Kafka's logs have real holes (transaction markers, compaction), and Faust's mistakes look the same. So a
jump is only accepted if an independent consumer finds no record in it. Of Faust it relies only on commits
that come from the tracker.
"""

import asyncio

import structlog

from schemas.log_events import OFFSET_PAST_END, RECORDS_DELETED
from streams.faust_runner.safety.offset_probe import OffsetProbe
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.runtime import metrics
from streams.runtime.exit_codes import ExitCode, fail_stop

log = structlog.get_logger(__name__)


class ContiguityGuard:
    """Decides whether an event is the next of its source. Raises `ProbeAway`."""

    def __init__(
        self,
        tracker: OffsetTracker,
        probe: OffsetProbe,
        *,
        watching: bool = True,
        fleeting: frozenset[str] = frozenset(),
    ) -> None:
        """`fleeting`: topics whose deleted records are no loss."""
        self._tracker = tracker
        self._probe = probe
        self._watching = watching
        self._fleeting = fleeting

    async def begin(self, source: Source) -> int:
        """The next offset of `source`; the first call of an assignment asks the broker."""
        known = self._tracker.next_offset(source)
        if known is not None:
            return known
        assignment = self._tracker.assignment
        start = await asyncio.to_thread(self._start_of, source)
        if assignment == self._tracker.assignment:
            self._tracker.begin(source, start)
        return start

    async def admit(self, source: Source, offset: int) -> bool:
        """Whether to process the event at `offset` now; False if it was finished before.

        Ends the process with exit code 72 if a record would be skipped.
        """
        expected = await self.begin(source)
        if offset <= expected:
            return offset == expected
        if self._watching and not await self.passes(source, expected, offset):
            fail_stop(
                ExitCode.CONTIGUITY,
                f"{source.topic}-{source.partition}: offset {offset} came although a record between "
                f"{expected} and it was not processed; stopping to read again from the committed offset",
                topic=source.topic,
                partition=source.partition,
                expected=expected,
                offset=offset,
            )
        return True

    async def passes(self, source: Source, start: int, end: int) -> bool:
        """Whether the broker has no record in [start, end)."""
        return await asyncio.to_thread(self._is_hole, source, start, end)

    def _start_of(self, source: Source) -> int:
        committed = self._probe.committed(source)
        first, end = self._probe.bounds(source)
        if committed is None:
            return first
        if committed > end:
            OFFSET_PAST_END.emit(
                log,
                topic=source.topic,
                partition=source.partition,
                committed=committed,
                end=end,
            )
            return first
        return committed

    def _is_hole(self, source: Source, start: int, end: int) -> bool:
        first, _ = self._probe.bounds(source)
        if first > start:
            if source.topic not in self._fleeting:
                self._report_deleted(source, min(first, end) - start, first)
            start = first
        return start >= end or self._probe.first_record(source, start, end) is None

    def _report_deleted(self, source: Source, lost: int, first: int) -> None:
        metrics.RETENTION_LOSSES.inc(lost)
        RECORDS_DELETED.emit(
            log,
            topic=source.topic,
            partition=source.partition,
            offsets=lost,
            first_kept=first,
        )
