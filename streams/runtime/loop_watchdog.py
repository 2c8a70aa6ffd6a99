"""Ends a worker whose main loop is blocked.

librdkafka can block for ever in calls that have no time limit (a commit, a pause). The process would live on
without its partitions, and no supervisor would restart it.
"""

import threading
import time
from collections.abc import Callable

from streams.runtime.exit_codes import ExitCode, fail_stop

LIMIT_SECONDS = 120.0
"""Far above the longest wait of a healthy loop: a drain, a commit, an insert."""


class LoopWatchdog:
    """The loop calls `reset` in each turn; `limit` seconds without a call end the process."""

    def __init__(
        self,
        stage: str,
        *,
        limit: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[ExitCode, str], None] = fail_stop,
    ) -> None:
        self._stage = stage
        self._limit = limit
        self._clock = clock
        self._end = end
        self._reset_at = clock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Checks from now on, in a daemon thread."""
        self.reset()
        threading.Thread(target=self._run, name="loop-watchdog", daemon=True).start()

    def reset(self) -> None:
        """Begins the limit again: the loop made a turn."""
        self._reset_at = self._clock()

    def stop(self) -> None:
        """No check from now on: the loop ended in order."""
        self._stopped.set()

    def check(self) -> None:
        """Ends the process if the limit is over."""
        since = self._clock() - self._reset_at
        if since > self._limit:
            self._end(
                ExitCode.WATCHDOG,
                f"the loop of {self._stage} has not turned for {since:.0f} s, allowed are {self._limit:.0f} "
                "s; stopping, what was not committed is done again; the stacks are below",
            )

    def _run(self) -> None:
        while not self._stopped.wait(self._limit / 10):
            self.check()
