"""How much a replay worker does at once, and how long it waits."""

from dataclasses import dataclass

MOST_IN_HAND = 32
"""Records that wait in memory for a run to end: partitions that were paused give records only half a second
after they are resumed."""
MOST_UNACKNOWLEDGED = 64
"""Answers that may wait for the broker before intake holds."""
DRAIN_SECONDS = 20.0
"""What runs may take to end when the worker stops or gives partitions back; the rest is dropped."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much at once and how long. Times in seconds."""

    concurrency: int = 8
    drain_seconds: float = DRAIN_SECONDS
    commit_seconds: float = 1.0
    hang_seconds: float = 120.0
    """A run that takes twice its budget and so much more hangs: our own fault."""
