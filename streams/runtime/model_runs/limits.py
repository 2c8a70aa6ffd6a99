"""How much a replay worker does at once, and how long it waits."""

from dataclasses import dataclass

from streams.runtime.offsets import MAX_OPEN

LEAST_WAITING = 32
"""Requests that may wait in memory whatever the concurrency."""
MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of the requests that wait in memory; a larger one waits alone."""
MOST_UNACKNOWLEDGED = 64
"""Answers that may wait for the broker before intake holds."""
DRAIN_SECONDS = 20.0
"""Time for runs to end when the worker stops or partitions are revoked; the rest is dropped."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How much at once and how long. Times in seconds."""

    concurrency: int = 8
    drain_seconds: float = DRAIN_SECONDS
    commit_seconds: float = 1.0
    hang_seconds: float = 120.0
    """A run that takes so much more than twice its budget hangs: a fault of opoi."""

    @property
    def most_waiting(self) -> int:
        """Requests that may wait in memory, for a place or for what is unreachable.

        Those of one partition that are not done must fit into a commit.
        """
        return max(LEAST_WAITING, MAX_OPEN - 2 * self.concurrency - MOST_UNACKNOWLEDGED)
