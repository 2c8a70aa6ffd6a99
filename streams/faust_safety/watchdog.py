"""Ends a worker that hangs: no commit for too long although records wait.

It runs in a thread of its own, so that a blocked event loop does not silence it, and asks the broker
itself. A worker that waits on purpose (registry away, broker away, table being restored) is left alone.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from streams.exit_codes import ExitCode, fail_stop
from streams.faust_safety.ledger import Source
from streams.faust_safety.witness import Witness, WitnessAway

log = structlog.get_logger(__name__)


@dataclass
class Pulse:
    """What the worker tells the watchdog; written by the worker, read by the watchdog."""

    sources: frozenset[Source] = frozenset()
    """Source partitions of the present assignment."""
    waiting: str = ""
    """What the worker waits for on purpose; empty where it should make progress."""
    step_since: float | None = None
    """When the pure step that runs now was entered, `time.monotonic`; None outside of steps."""


@dataclass
class Watchdog:
    """Watches one worker. `limit` and `interval` in seconds."""

    pulse: Pulse
    witness: Witness
    limit: float
    interval: float = 5.0
    loop: asyncio.AbstractEventLoop | None = None
    restored: Callable[[], int] = lambda: 0
    """A number that changes whenever the restore of a table gets on."""
    clock: Callable[[], float] = time.monotonic
    end: Callable[..., None] = fail_stop
    _since: float | None = field(default=None, init=False)
    _before: object = field(default=None, init=False)

    def start(self) -> None:
        """Watches from now on, in a daemon thread."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self.interval)
            try:
                self.look()
            except WitnessAway:
                self._since = None

    def look(self) -> None:
        """One look. Raises `WitnessAway`."""
        now = self.clock()
        entered = self.pulse.step_since
        if entered is not None and now - entered > self.limit:
            self._dump()
            self.end(
                ExitCode.OWN_FAULT,
                f"a step has run for {now - entered:.0f} s, allowed are {self.limit:.0f} s; stopping, "
                "the record counts as the cause",
            )
        sources = self.pulse.sources
        committed = {source: self.witness.committed(source) for source in sorted(sources)}
        state = (sources, committed, self.restored())
        if self.pulse.waiting or state != self._before or not self._records_wait(committed.items()):
            self._since, self._before = now, state
            return
        assert self._since is not None
        if now - self._since > self.limit:
            self._dump()
            self.end(
                ExitCode.WATCHDOG,
                f"no offset was committed for {now - self._since:.0f} s although records wait, allowed are "
                f"{self.limit:.0f} s; stopping, the stacks are above",
            )

    def _records_wait(self, committed: Iterable[tuple[Source, int | None]]) -> bool:
        for source, offset in committed:
            first, end = self.witness.bounds(source)
            start = max(first, offset or 0)
            # the end of a log may be nothing but transaction markers
            if start < end and self.witness.first_record(source, start, end) is not None:
                return True
        return False

    def _dump(self) -> None:
        if self.loop is not None:
            for task in asyncio.all_tasks(self.loop):
                task.print_stack(limit=8, file=sys.stderr)
