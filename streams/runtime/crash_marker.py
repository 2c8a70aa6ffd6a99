"""The record that a process works on, kept over its crash.

The mark lives in a memory-mapped file: writing it costs less than a microsecond, and the kernel keeps it
whatever signal ends the process. Only a crash of the machine may lose it, and then no process
died by its own fault. The parent process counts deaths (`streams.runtime.supervisor`).
"""

import hashlib
import json
import mmap
import os
import struct
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from streams.core.contract import Coordinates

_SIZE = 4096
_HEAD = struct.Struct("<qqH")
_BODY_AT = 1 + _HEAD.size


class CrashMarker:
    """The mark of one worker."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # on a full disk a hole in the file would end the process by SIGBUS, at the next record
            os.posix_fallocate(descriptor, 0, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self.clear()

    def set(self, at: Coordinates) -> None:
        """Marks the record at `at` as the one in work."""
        name = at.topic.encode()[: _SIZE - _BODY_AT]
        self._map[_BODY_AT : _BODY_AT + len(name)] = name
        _HEAD.pack_into(self._map, 1, at.partition, at.offset, len(name))
        self._map[0] = 1

    def clear(self) -> None:
        """No record is in work."""
        self._map[0] = 0

    def during(
        self, at: Coordinates, expected: tuple[type[Exception], ...] = ()
    ) -> AbstractContextManager[None]:
        """Marks the record at `at` for the block, then restores the mark of before.

        After an exception that is not `expected` the mark stays on the record.
        """
        return _During(self, at, expected)

    def _content(self) -> bytes | None:
        """The mark as it is; None where there is none."""
        return self._map[:_SIZE] if self._map[0] else None

    def _restore(self, before: bytes | None) -> None:
        if before is None:
            self.clear()
        else:
            self._map[:_SIZE] = before

    @property
    def is_set(self) -> bool:
        """Whether a record is in work."""
        return bool(self._map[0])


class _During(AbstractContextManager[None]):
    """See `CrashMarker.during`; a class, since a generator takes three times as long for each record."""

    __slots__ = ("_at", "_before", "_expected", "_marker")

    def __init__(self, marker: CrashMarker, at: Coordinates, expected: tuple[type[Exception], ...]) -> None:
        self._marker, self._at, self._expected = marker, at, expected

    def __enter__(self) -> None:
        self._before = self._marker._content()
        self._marker.set(self._at)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, self._expected):
            self._marker._restore(self._before)


def read_marker(path: Path) -> Coordinates | None:
    """The record that a dead process was working on, None where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) < _SIZE or content[0] != 1:
        return None
    partition, offset, length = _HEAD.unpack_from(content, 1)
    return Coordinates(content[_BODY_AT : _BODY_AT + length].decode(errors="replace"), partition, offset)


class DeathCounter:
    """How often a process of the stage died on a record; shared by its workers on one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: dict[Coordinates, int] = {}

    def load(self) -> None:
        """Reads the folder, deaths of the other workers included."""
        self._counts = {}
        for path in self._folder.glob("*.json"):
            try:
                found = _read_deaths(path)
            except FileNotFoundError:
                continue  # another worker has just dealt with it
            if found is not None:
                at, deaths = found
                self._counts[at] = len(deaths)

    def count(self, at: Coordinates) -> int:
        """Deaths on the record at `at`, as of `load`."""
        return self._counts.get(at, 0) if self._counts else 0

    def add(self, at: Coordinates, how: str) -> int:
        """One more death on the record at `at`; returns how many there are now."""
        path = self.file(at)
        before = _read_deaths(path) if path.exists() else None
        deaths = before[1] if before else []
        deaths.append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "how": how})
        entry = {"topic": at.topic, "partition": at.partition, "offset": at.offset, "deaths": deaths}
        self._folder.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(f".{os.getpid()}.new")
        whole.write_text(json.dumps(entry))
        whole.replace(path)
        return len(deaths)

    def forget(self, at: Coordinates) -> None:
        """Deletes the deaths on the record at `at`: it is finished or in the dead letters."""
        self._counts.pop(at, None)
        self.file(at).unlink(missing_ok=True)

    def file(self, at: Coordinates) -> Path:
        """The file of the deaths on the record at `at`."""
        name = hashlib.sha256(f"{at.topic}/{at.partition}/{at.offset}".encode()).hexdigest()
        return self._folder / f"{name[:24]}.json"


def _read_deaths(path: Path) -> tuple[Coordinates, list[dict[str, str]]] | None:
    """Content of a file; None if a crash of the machine cut it. Raises FileNotFoundError."""
    try:
        found = json.loads(path.read_text())
        return Coordinates(found["topic"], found["partition"], found["offset"]), list(found["deaths"])
    except (ValueError, KeyError, TypeError):
        return None
