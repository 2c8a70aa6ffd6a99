"""Makes the row of a landing table from a decoded record and its Kafka coordinates."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from schemas.record import Record
from schemas.stages import DEAD_LETTERS
from sinks.columns import Column
from sinks.dead_letters import DeadLetter, Headers, NotADeadLetter, parse_dead_letter
from sinks.tables import Table

Row = tuple[Any, ...]

# the range of DateTime64(3); a producer's clock can be anything
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LAST = datetime(2299, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Landing:
    """Coordinates of a message: Kafka's topic id, logical topic, partition, offset, timestamp, key."""

    topic_id: UUID
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes
    schema_id: int = 0

    def values(self) -> Row:
        """The values of `tables.KAFKA_COLUMNS`."""
        return (
            self.topic_id,
            self.topic,
            self.partition,
            self.offset,
            self.timestamp,
            self.key,
            self.schema_id,
        )


def row_maker(table: Table) -> Callable[[Record, Landing], Row]:
    """A function that makes the row of a record, in the order of `table.landed`."""
    values = _values_of(table.columns)
    return lambda record, landing: (*values(record), *landing.values())


def dead_letter_row(value: bytes | None, headers: Headers, landing: Landing) -> Row:
    """The row of a dead letter. Never fails: unreadable headers are landed as that."""
    pairs = tuple(headers)
    every = {name.encode(): content or b"" for name, content in pairs}
    try:
        letter = parse_dead_letter(pairs)
    except NotADeadLetter as error:
        said: Row = (
            "unknown",
            DEAD_LETTERS,
            landing.partition,
            landing.offset,
            landing.timestamp,
            "unreadable_headers",
            str(error),
            "",
            landing.timestamp,
            0,
        )
        cut: Row = (None,) * 7 + (False, False)
    else:
        said = (
            letter.stage,
            letter.topic,
            letter.partition,
            letter.offset,
            bounded(letter.timestamp),
            letter.error_type,
            letter.error,
            letter.app_version,
            bounded(letter.first_failed_at),
            letter.replays,
        )
        cut = _cut(letter)
    return (*said, value or b"", every, *cut, *landing.values())


def _cut(letter: DeadLetter) -> Row:
    """The columns that describe the parts that a letter lacks."""
    value, key, dropped = letter.whole_value, letter.whole_key, letter.dropped_headers
    return (
        *((value.size, value.sha256) if value else (None, None)),
        *((key.size, key.sha256) if key else (None, None)),
        *((dropped.count, dropped.size, dropped.sha256) if dropped else (None, None, None)),
        letter.is_cut,
        letter.headers_unreadable,
    )


def _values_of(columns: tuple[Column, ...]) -> Callable[[Any], Row]:
    """A function that reads the values of several columns from a record, or from an item of an array."""
    if len(columns) > 1 and all(column.shape == "scalar" and len(column.path) == 1 for column in columns):
        return attrgetter(*(column.path[0] for column in columns))
    readers = [_value_of(column) for column in columns]
    return lambda holder: tuple([read(holder) for read in readers])


def _value_of(column: Column) -> Callable[[Any], Any]:
    found = _follow(column.path)
    match column.shape:
        case "scalar":
            return found
        case "list":
            return lambda holder: list(found(holder) or ())
        case "map":
            return lambda holder: dict(found(holder) or {})
        case "tuples":
            of_item = _values_of(column.elements)
            return lambda holder: [of_item(item) for item in found(holder) or ()]


def _follow(path: tuple[str, ...]) -> Callable[[Any], Any]:
    """A function that follows a path of fields; None where a record on the way is None."""
    if len(path) == 1:
        return attrgetter(path[0])

    def walk(holder: Any) -> Any:
        for name in path:
            if holder is None:
                return None
            holder = getattr(holder, name)
        return holder

    return walk


def bounded(time: datetime) -> datetime:
    """The time, limited to the range of ClickHouse."""
    return min(max(time, _FIRST), _LAST)
