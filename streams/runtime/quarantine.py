"""Finds out which of several records in work killed the process.

If no mark names a record, a death by the process's own fault does not tell which record caused it. So the
records in work are written to a file, and after such a death the parent makes them suspects. Suspects are
worked on in ever smaller lots, at last alone, and then the mark names the one that kills
(`streams.runtime.supervisor`).
"""

import json
from collections.abc import Collection, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from streams.core.contract import Coordinates

LOTS = 64
"""Number of lots of suspects: of 10,000, three deaths leave one."""


class Quarantine:
    """The records in work of one worker, on disk, and the suspects of its predecessor's crash."""

    def __init__(self, file: Path) -> None:
        self._file = file
        before = _read(file)
        self._suspects = _expanded(before["suspects"])
        if before["crashes"]:
            # version 0.2 left it to the next worker to make suspects of what was in work
            self._suspects |= _expanded(before["in_work"])
        self._lot = max(1, len(self._suspects) // LOTS)
        self._in_work: set[Coordinates] = set()
        self._write()

    def __contains__(self, at: Coordinates) -> bool:
        return at in self._suspects

    def __bool__(self) -> bool:
        return bool(self._suspects)

    @property
    def lot(self) -> int:
        """How many suspects to work on at once, at most."""
        return self._lot

    def in_work(self, records: Collection[Coordinates]) -> None:
        """These and no others are in work from now on."""
        wanted = set(records)
        if wanted != self._in_work:
            self._in_work = wanted
            self._write()

    def clear(self, *records: Coordinates) -> None:
        """The records are no suspects any more: their work ended and the process lives."""
        if harmless := self._suspects & {*records}:
            self._suspects -= harmless
            self._write()

    def _write(self) -> None:
        _replace(self._file, in_work=_ranges(self._in_work), suspects=_ranges(self._suspects))


def quarantine_all_in_work(file: Path) -> None:
    """Makes all records in work suspects: the worker died by its own fault, and no mark names a record.

    If suspects were among them, only those stay suspects: the others were not touched.
    """
    if file.exists():
        before = _read(file)
        suspects, in_work = _expanded(before["suspects"]), _expanded(before["in_work"])
        _replace(file, in_work=[], suspects=_ranges((suspects & in_work) or suspects | in_work))


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads(file.read_text())
        places = {name: [tuple(each) for each in found.get(name, [])] for name in ("in_work", "suspects")}
        return {**places, "crashes": [found["crashes"]] if "crashes" in found else []}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {"in_work": [], "suspects": [], "crashes": []}  # none yet, or a crash of the machine cut it


def _expanded(ranges: Iterable[Any]) -> set[Coordinates]:
    """`[topic, partition, first, last]`; version 0.2 wrote `[topic, partition, offset]`."""
    return {
        Coordinates(topic, partition, offset)
        for topic, partition, first, *last in ranges
        for offset in range(first, (last[0] if last else first) + 1)
    }


def _ranges(records: Iterable[Coordinates]) -> list[tuple[str, int, int, int]]:
    places = sorted((at.topic, at.partition, at.offset) for at in records)
    found = []
    for _, group in groupby(enumerate(places), lambda each: (each[1][:2], each[1][2] - each[0])):
        run = [place for _, place in group]
        found.append((*run[0], run[-1][2]))
    return found


def _replace(file: Path, **content: list[Any]) -> None:
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(content))
    whole.replace(file)
