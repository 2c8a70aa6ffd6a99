"""Which of several records in work at once killed the process.

A process that dies by a signal of its own leaves no word of which run did it. So the records in work stand
in a file; after such a death they are suspects, and a suspect is worked on alone: if it kills again, the
mark names it (`streams.runtime.supervisor`).
"""

import json
import signal
from collections.abc import Iterable

from streams.core.contract import Coordinates
from streams.runtime.supervisor import FROM_OUTSIDE, Folders, exits

_OUTSIDE = {each.name.lower() for each in FROM_OUTSIDE}
_SIGNALS = {each.name.lower() for each in signal.Signals}


class Suspects:
    """The records in work of one worker, on disk, and those of its predecessor where that crashed."""

    def __init__(self, folders: Folders) -> None:
        self._file = folders.worker / "in-work.json"
        self._crashes = _crashes(folders)
        self._suspects: set[Coordinates] = set()
        try:
            before = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            before = {}
        found = before.get("suspects", [])
        if self._crashes > before.get("crashes", self._crashes):
            found = found + before["in_work"]
        self._suspects = {Coordinates(*each) for each in found}
        self._in_work: set[Coordinates] = set()
        self._write()

    def __contains__(self, at: Coordinates) -> bool:
        return at in self._suspects

    def in_work(self, records: Iterable[Coordinates]) -> None:
        """These and no others are in work from now on."""
        wanted = set(records)
        if wanted != self._in_work:
            self._in_work = wanted
            self._write()

    def clear(self, at: Coordinates) -> None:
        """The record at `at` did no harm."""
        if at in self._suspects:
            self._suspects.discard(at)
            self._write()

    def _write(self) -> None:
        content = {
            "crashes": self._crashes,
            "in_work": [(at.topic, at.partition, at.offset) for at in self._in_work],
            "suspects": [(at.topic, at.partition, at.offset) for at in self._suspects],
        }
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(content))
        whole.replace(self._file)


def _crashes(folders: Folders) -> int:
    """How often the worker died by a signal that nobody sent."""
    return sum(count for how, count in exits(folders).items() if how in _SIGNALS - _OUTSIDE)
