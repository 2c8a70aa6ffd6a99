"""The headers of a dead letter: made where a record is given up, read where it is landed or sent again.

A dead letter's key and value are the original bytes; everything else is in headers. Names that begin with
`dlq.` are ours; of a repeated one the last counts. The record's own headers are kept with the prefix `orig.`,
repeated names and null values too. If a record does not fit into a dead letter, key and value are cut and
headers are dropped; our headers then describe the whole record.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version

from schemas.errors import REASON_BYTES, shortened
from schemas.stages import RETRY

PREFIX = "dlq."
ORIGINAL = "orig."
ERROR_BYTES = REASON_BYTES
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LENGTHS = struct.Struct(">ii")

Headers = Iterable[tuple[str, bytes | None]]


class NotADeadLetter(Exception):
    """Headers that do not say where a record came from and why it failed; the text names the header."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A key or a value before it was cut: number of bytes, sha256 in hex."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "Whole":
        """Size and sha256 of `content`."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Dropped:
    """Headers of the record that were dropped: how many, bytes of their names and values, sha256.

    The sha256 is over each header's two lengths (4 bytes each, big-endian, -1 for null), name and value.
    """

    count: int
    size: int
    sha256: str

    @classmethod
    def of(cls, headers: Headers, earlier: "Dropped | None" = None) -> "Dropped":
        """Describes `headers` and those dropped `earlier`, whose sha256 begins the new one."""
        digest = hashlib.sha256(earlier.sha256.encode() if earlier else b"")
        count, size = (earlier.count, earlier.size) if earlier else (0, 0)
        for name, value in headers:
            raw, content = name.encode(), value or b""
            digest.update(_LENGTHS.pack(len(raw), -1 if value is None else len(content)) + raw + content)
            count, size = count + 1, size + len(raw) + len(content)
        return cls(count, size, digest.hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """The headers of a dead letter.

    `topic` is logical; times are UTC; `replays` counts how often it was redriven; `topic_id` is
    Kafka's own id of the topic, known to the sink alone, empty elsewhere. `whole_key` and `whole_value` are
    set where key or value are cut. `headers_unreadable`: the record's own headers could not be read.
    """

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    stage: str
    app_version: str
    error_type: str
    error: str
    first_failed_at: datetime
    replays: int = 0
    topic_id: str = ""
    whole_key: Whole | None = None
    whole_value: Whole | None = None
    dropped_headers: Dropped | None = None
    headers_unreadable: bool = False
    original_headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def is_cut(self) -> bool:
        """Whether the letter lacks a part of its record."""
        return (self.whole_key, self.whole_value, self.dropped_headers) != (None, None, None)

    def headers(self) -> list[tuple[str, bytes | None]]:
        """The headers, ours first. The inverse of `parse_dead_letter`."""
        ours = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "timestamp": _text(self.timestamp),
            "stage": self.stage,
            "app_version": self.app_version,
            "error_type": self.error_type,
            "error": self.error,
            "first_failed_at": _text(self.first_failed_at),
            "replays": str(self.replays),
        }
        if self.topic_id:
            ours["topic_id"] = self.topic_id
        for name, whole in (("key", self.whole_key), ("value", self.whole_value)):
            if whole is not None:
                ours |= {f"{name}_bytes": str(whole.size), f"{name}_sha256": whole.sha256}
        if (dropped := self.dropped_headers) is not None:
            ours |= {
                "dropped_headers": str(dropped.count),
                "dropped_headers_bytes": str(dropped.size),
                "dropped_headers_sha256": dropped.sha256,
            }
        if self.headers_unreadable:
            ours["headers_unreadable"] = "true"
        return [
            *((PREFIX + name, value.encode()) for name, value in ours.items()),
            *((ORIGINAL + name, value) for name, value in self.original_headers),
        ]


def dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp: datetime,
    stage: str,
    error_type: str,
    error: str,
    failed_at: datetime,
    replays: int = 0,
    topic_id: str = "",
    headers: Headers | None = (),
) -> DeadLetter:
    """The dead letter of the record at these coordinates; `topic` is logical, `headers` None: unreadable.

    A record from a retry topic keeps its first coordinates, its first failure, its own headers, its
    count of redrives and the description of its cut, so that it can be followed however often it fails.
    """
    pairs = tuple(headers or ())
    before = _before(topic, pairs)
    return DeadLetter(
        topic=before.topic if before else topic,
        partition=before.partition if before else partition,
        offset=before.offset if before else offset,
        timestamp=before.timestamp if before else timestamp,
        stage=stage,
        app_version=_app_version(),
        error_type=error_type,
        error=shortened(error, ERROR_BYTES),
        first_failed_at=before.first_failed_at if before else failed_at,
        replays=before.replays if before else replays,
        topic_id=before.topic_id if before else topic_id,
        whole_key=before.whole_key if before else None,
        whole_value=before.whole_value if before else None,
        dropped_headers=before.dropped_headers if before else None,
        headers_unreadable=before.headers_unreadable if before else headers is None,
        original_headers=before.original_headers if before else pairs,
    )


def parse_dead_letter(headers: Headers) -> DeadLetter:
    """Parses the headers. Raises NotADeadLetter, naming the header that is missing or wrong."""
    pairs = tuple(headers)
    found = {name.removeprefix(PREFIX): value for name, value in pairs if name.startswith(PREFIX)}

    def text(name: str) -> str:
        if (value := found.get(name)) is None:
            raise NotADeadLetter(f"header {PREFIX}{name} is missing")
        if len(value) > ERROR_BYTES:
            raise NotADeadLetter(f"header {PREFIX}{name} has {len(value)} bytes, more than {ERROR_BYTES}")
        return value.decode(errors="replace")

    def number(name: str, bits: int) -> int:
        try:
            found = int(text(name))
        except ValueError:
            raise NotADeadLetter(f"header {PREFIX}{name} is {text(name)!r}, not a number") from None
        if not 0 <= found < 2 ** (bits - 1):
            raise NotADeadLetter(f"header {PREFIX}{name} is {found}, not between 0 and 2^{bits - 1}")
        return found

    def time(name: str) -> datetime:
        said = text(name)
        try:
            # or milliseconds since 1970, Kafka's own form
            return _EPOCH + int(said) * _MILLISECOND if said.isdigit() else _utc(said)
        except (ValueError, OverflowError):
            raise NotADeadLetter(f"header {PREFIX}{name} is {said!r}, not an ISO 8601 time") from None

    def whole(name: str) -> Whole | None:
        if f"{name}_bytes" not in found:
            return None
        return Whole(number(f"{name}_bytes", 64), text(f"{name}_sha256"))

    def dropped() -> Dropped | None:
        name = "dropped_headers"
        if name not in found:
            return None
        return Dropped(number(name, 64), number(f"{name}_bytes", 64), text(f"{name}_sha256"))

    return DeadLetter(
        topic=text("topic"),
        partition=number("partition", 32),
        offset=number("offset", 64),
        timestamp=time("timestamp"),
        stage=text("stage"),
        app_version=text("app_version"),
        error_type=text("error_type"),
        error=text("error"),
        first_failed_at=time("first_failed_at"),
        replays=number("replays", 32),
        topic_id=text("topic_id") if found.get("topic_id") is not None else "",
        whole_key=whole("key"),
        whole_value=whole("value"),
        dropped_headers=dropped(),
        headers_unreadable="headers_unreadable" in found,
        original_headers=tuple(
            (name.removeprefix(ORIGINAL), value) for name, value in pairs if not name.startswith(PREFIX)
        ),
    )


def _before(topic: str, headers: Headers) -> DeadLetter | None:
    """The dead letter that a record from a retry topic was."""
    if not topic.startswith(RETRY):
        return None
    try:
        return parse_dead_letter(headers)
    except NotADeadLetter:
        return None


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


@cache
def _app_version() -> str:
    return version("opoi")
