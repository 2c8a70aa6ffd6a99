"""Which of several records in work at once killed the process.

A process that dies by its own fault, with no mark that names a record, does not say which run did it. So the
records in work stand in a file; after such a death the parent makes them suspects, and a suspect is worked on
alone: if it kills again, the mark names it (`streams.runtime.supervisor`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streams.core.contract import Coordinates


class Suspects:
    """The records in work of one worker, on disk, and those of its predecessor where that crashed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._suspects = {Coordinates(*each) for each in _read(file)["suspects"]}
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
        _replace(self._file, in_work=_places(self._in_work), suspects=_places(self._suspects))


def suspect_all_in_work(file: Path) -> None:
    """The worker of this file died by its own fault, and nothing names the record."""
    if file.exists():
        before = _read(file)
        _replace(file, in_work=[], suspects=before["suspects"] + before["in_work"])


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads(file.read_text())
        return {name: [tuple(each) for each in found.get(name, [])] for name in ("in_work", "suspects")}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {"in_work": [], "suspects": []}  # none yet, or a crash of the machine cut it


def _places(records: Iterable[Coordinates]) -> list[Any]:
    return [(at.topic, at.partition, at.offset) for at in records]


def _replace(file: Path, **content: list[Any]) -> None:
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(content))
    whole.replace(file)
