"""Stops a stage that refuses most of what it sees: then the stage is wrong, not the records.

A bad deploy must not empty a topic into the dead letters. That it tripped is kept on disk, so that a
restart does not let the next run through: until the stage does well again, the first refusal stops it.
"""

from collections import deque
from pathlib import Path


class Breaker:
    """Counts what a worker finished and refused. `run`, `window` in records."""

    def __init__(self, tripped: Path, *, run: int, share: float, window: int) -> None:
        self._file = tripped
        self._run = run
        self._share = share
        self._last: deque[bool] = deque(maxlen=window)
        self._refused = 0
        self._in_a_row = 0
        self.half_open = tripped.exists()

    def good(self) -> None:
        """A record was finished."""
        self._in_a_row = 0
        self._add(False)
        if self.half_open and self._refused == 0 and len(self._last) >= self._run:
            self._file.unlink(missing_ok=True)
            self.half_open = False

    def refuse(self) -> str:
        """A record is about to be refused. Says why the stage must stop instead, or an empty text."""
        self._in_a_row += 1
        self._add(True)
        seen = len(self._last)
        why = ""
        if self.half_open:
            why = "it was stopped for this before, and the first record it refuses stops it again"
        elif self._in_a_row >= self._run:
            why = f"{self._in_a_row} records in a row were refused, allowed are {self._run - 1}"
        elif seen == self._last.maxlen and self._refused > self._share * seen:
            why = f"{self._refused} of the last {seen} records were refused, allowed are {self._share:.0%}"
        if why:
            self._file.touch()
        return why

    def _add(self, refused: bool) -> None:
        if len(self._last) == self._last.maxlen:
            self._refused -= self._last[0]
        self._last.append(refused)
        self._refused += refused
