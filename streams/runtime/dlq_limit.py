"""The dead-letter limit: stops a stage that refuses most records, since then the stage is wrong.

A bad deploy must not empty a topic into the dead letters. The kind that tripped the limit is kept on disk:
after a restart the first refusal of that kind stops the stage again, until enough records succeed or somebody
deletes the file.
"""

from collections import defaultdict, deque
from pathlib import Path


class DlqLimit:
    """Counts finished and refused records by kind. `run`, `window`: numbers of records."""

    def __init__(self, tripped: Path, *, run: int, share: float, window: int) -> None:
        self._file = tripped
        self._run = run
        self._share = share
        self._kinds: dict[str, _Last] = defaultdict(lambda: _Last(window))
        self._tripped_by = tripped.read_text() if tripped.exists() else None

    @property
    def half_open(self) -> bool:
        """Whether it tripped, and not enough records have succeeded since."""
        return self._tripped_by is not None

    def good(self, kind: str = "") -> None:
        """A record was finished."""
        last = self._kinds[kind]
        last.add(False)
        if self._tripped_by == kind and last.refused == 0 and len(last.records) >= self._run:
            self._file.unlink(missing_ok=True)
            self._tripped_by = None

    def refuse(self, kind: str = "") -> str:
        """A record is about to be refused. Returns why the stage must stop instead; empty if it need not."""
        if self._tripped_by is not None and not self._file.exists():
            # an operator deleted it, perhaps during the pause
            self._tripped_by = None
        last = self._kinds[kind]
        last.add(True)
        seen = len(last.records)
        why = ""
        if self._tripped_by == kind:
            why = "it was stopped for this before, and the first record it refuses stops it again"
        elif last.in_a_row >= self._run:
            why = f"{last.in_a_row} records in a row were refused, allowed are {self._run - 1}"
        elif seen == last.records.maxlen and last.refused > self._share * seen:
            why = f"{last.refused} of the last {seen} records were refused, allowed are {self._share:.0%}"
        if why:
            self._file.write_text(kind)
        return why


class _Last:
    """The last records of one kind, true where one was refused."""

    def __init__(self, window: int) -> None:
        self.records: deque[bool] = deque(maxlen=window)
        self.refused = 0
        self.in_a_row = 0

    def add(self, refused: bool) -> None:
        if len(self.records) == self.records.maxlen:
            self.refused -= self.records[0]
        self.records.append(refused)
        self.refused += refused
        self.in_a_row = self.in_a_row + 1 if refused else 0
