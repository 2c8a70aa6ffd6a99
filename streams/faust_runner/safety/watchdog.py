"""Ends a worker that hangs: no commit of a partition for too long although records wait in it.

A backlog is read partition by partition, so one may pause while others progress: it has more time. A
worker without partitions watches all of the stage: it may be the one that should have them.

It runs in a thread of its own, so that a blocked event loop does not stop it, and asks the broker
itself. It spares a worker that waits for the registry, the broker or the restore of a table; whether the
broker is reachable it finds out itself.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from streams.faust_runner.safety.offset_probe import OffsetProbe, ProbeAway
from streams.faust_runner.safety.offset_tracker import Source
from streams.runtime.exit_codes import ExitCode, fail_stop

log = structlog.get_logger(__name__)

PATIENCE_WITH_ONE = 5
"""Times the limit that a partition may pause while others of the worker progress."""
PATIENCE_OUTSIDE = 2
"""Times the limit for a worker to which the group has assigned nothing yet."""
PATIENCE_SPARE = 4
"""Times the limit for a worker without partitions: it cannot know whether their owners wait on purpose (for
a registry, a restore)."""
STAGE_SECONDS = 30.0
"""Seconds between two checks of the whole stage."""


@dataclass
class WorkerProgress:
    """Progress of the worker: written by the worker, read by the watchdog."""

    sources: frozenset[Source] = frozenset()
    """Source partitions of the present assignment."""
    outside: bool = True
    """Whether nothing was assigned since the start, or since everything was revoked."""
    changes: int = 0
    """How often the assignment has changed."""
    waiting: str = ""
    """What the worker waits for on purpose; empty if it should make progress."""
    step_since: float | None = None
    """When the pure step that runs now was entered, `time.monotonic`; None outside of steps."""

    def assigned(self, sources: frozenset[Source]) -> None:
        """The group has assigned `sources`, or none, to this worker."""
        self.sources, self.outside = sources, False
        self.changes += 1

    def revoked(self) -> None:
        """The group has taken everything back."""
        self.sources, self.outside = frozenset(), True
        self.changes += 1


@dataclass
class Watchdog:
    """Watches one worker. `limit` and `interval` in seconds."""

    progress: WorkerProgress
    probe: OffsetProbe
    stage: frozenset[Source]
    """Every source partition of the stage, whatever worker has it."""
    limit: float
    interval: float = 5.0
    loop: asyncio.AbstractEventLoop | None = None
    restored: Callable[[], int] = lambda: 0
    """A number that changes while the restore of a table progresses."""
    clock: Callable[[], float] = time.monotonic
    end: Callable[..., None] = fail_stop
    _since: dict[Source, tuple[int | None, float]] = field(default_factory=dict, init=False)
    _own: frozenset[Source] = field(default=frozenset(), init=False)
    _changes: int = field(default=0, init=False)
    _stage_checked_at: float = field(default=float("-inf"), init=False)
    _restored: int = field(default=0, init=False)
    _progressed_at: float = field(default=0.0, init=False)
    """When any partition last progressed."""

    def start(self) -> None:
        """Watches from now on, in a daemon thread."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self.interval)
            self.watch()

    def watch(self) -> None:
        """One check; without an answer of the broker nothing counts as hanging."""
        try:
            self._check()
        except ProbeAway:
            self._since.clear()

    def _check(self) -> None:
        now = self.clock()
        self._check_step(now)
        restored, self._restored = self._restored, self.restored()
        changes, self._changes = self._changes, self.progress.changes
        self._own = self.progress.sources
        if self.progress.waiting or restored != self._restored or changes != self._changes:
            self._since.clear()
        if not self._own:
            if now - self._stage_checked_at < STAGE_SECONDS:
                return
            self._stage_checked_at = now
        before, self._since = self._since, {}
        for source in sorted(self._own or self.stage):
            committed = self.probe.committed(source)
            known, since = before.get(source, (committed, now))
            if committed != known:
                self._progressed_at = now
            if committed != known or not self._is_behind(source, committed):
                since = now
            elif now - since > self._allowed(now):
                if self._has_waiting_record(source, committed):
                    self._end_stalled(source, now - since)
                since = now
            self._since[source] = (committed, since)

    def _check_step(self, now: float) -> None:
        entered = self.progress.step_since
        if entered is not None and now - entered > self.limit:
            self._dump()
            self.end(
                ExitCode.OWN_FAULT,
                f"a step has run for {now - entered:.0f} s, allowed are {self.limit:.0f} s; stopping, "
                "the record counts as the cause",
            )

    def _allowed(self, now: float) -> float:
        allowed = self.limit * (PATIENCE_WITH_ONE if now - self._progressed_at <= self.limit else 1)
        if self._own:
            return allowed
        return allowed * (PATIENCE_OUTSIDE if self.progress.outside else PATIENCE_SPARE)

    def _is_behind(self, source: Source, committed: int | None) -> bool:
        first, end = self.probe.bounds(source)
        return max(first, committed or 0) < end

    def _has_waiting_record(self, source: Source, committed: int | None) -> bool:
        # the end of a log may be nothing but transaction markers
        first, end = self.probe.bounds(source)
        return self.probe.first_record(source, max(first, committed or 0), end) is not None

    def _end_stalled(self, source: Source, seconds: float) -> None:
        self._dump()
        self.end(
            ExitCode.WATCHDOG,
            f"no offset of {source.topic}-{source.partition} was committed for {seconds:.0f} s although "
            f"records wait, allowed are {self._allowed(self.clock()):.0f} s, and this worker has "
            f"{len(self._own)} partitions; stopping, the stacks are above",
        )

    def _dump(self) -> None:
        if self.loop is not None:
            for task in asyncio.all_tasks(self.loop):
                task.print_stack(limit=8, file=sys.stderr)
