"""The headers of a dead letter: made where a record is given up, read where it is landed or sent again.

A dead letter's key and value are the original bytes; everything else stands in headers. The names
below `dlq.` are ours; of a repeated one the last counts. The original record's own headers are kept beside
them below `orig.`, repeated names and null values too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version

from schemas.stages import RETRY

PREFIX = "dlq."
ORIGINAL = "orig."
ERROR_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Headers = Iterable[tuple[str, bytes | None]]


class NotADeadLetter(Exception):
    """Headers that do not say where a record came from and why it was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What the headers of a dead letter say.

    `topic` is logical; times are UTC; `replays` counts how often it was sent again; `topic_id` is
    Kafka's own id of the topic, known to the sink alone, empty elsewhere.
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
    original_headers: tuple[tuple[str, bytes | None], ...] = ()

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
            "topic_id": self.topic_id,
        }
        return [
            *((PREFIX + name, value.encode()) for name, value in ours.items() if name != "topic_id" or value),
            *((ORIGINAL + name, value) for name, value in self.original_headers),
        ]


def dead_letter_headers(
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
    headers: Headers = (),
) -> list[tuple[str, bytes | None]]:
    """Headers of the dead letter of the record at these coordinates; `topic` is logical.

    A record that came through a retry topic keeps its first coordinates, its first failure, its own
    headers and its count of replays, so that it can be followed however often it fails.
    """
    pairs = tuple(headers)
    before = _before(topic, pairs)
    return DeadLetter(
        topic=before.topic if before else topic,
        partition=before.partition if before else partition,
        offset=before.offset if before else offset,
        timestamp=before.timestamp if before else timestamp,
        stage=stage,
        app_version=_app_version(),
        error_type=error_type,
        error=error.encode()[:ERROR_BYTES].decode(errors="ignore"),
        first_failed_at=before.first_failed_at if before else failed_at,
        replays=before.replays if before else replays,
        topic_id=before.topic_id if before else topic_id,
        original_headers=before.original_headers if before else pairs,
    ).headers()


def parse_dead_letter(headers: Headers) -> DeadLetter:
    """What the headers say. Raises NotADeadLetter, naming the header that is missing or wrong."""
    pairs = tuple(headers)
    found = {name.removeprefix(PREFIX): value for name, value in pairs if name.startswith(PREFIX)}

    def text(name: str) -> str:
        if (value := found.get(name)) is None:
            raise NotADeadLetter(f"header {PREFIX}{name} is missing")
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
            # milliseconds since 1970 too: Kafka's own form
            return _EPOCH + int(said) * _MILLISECOND if said.isdigit() else _utc(said)
        except (ValueError, OverflowError):
            raise NotADeadLetter(f"header {PREFIX}{name} is {said!r}, not an ISO 8601 time") from None

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
        topic_id=(found.get("topic_id") or b"").decode(errors="replace"),
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
