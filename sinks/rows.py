"""A decoded record and where it stood in Kafka, as a row of its landing table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.record import Record
from sinks.columns import Column
from sinks.dead_letters import Headers, NotADeadLetter, parse_dead_letter
from sinks.tables import DEAD_LETTERS, Table

Row = tuple[Any, ...]

# what DateTime64(3) can carry; a producer's clock can be anything
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LAST = datetime(2299, 12, 31, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a message stood: Kafka's topic id, logical topic, partition, offset, timestamp, key."""

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


def kafka_time(milliseconds: int) -> datetime:
    """A Kafka timestamp as UTC, held within what ClickHouse can carry."""
    held = min(max(milliseconds, _milliseconds(_FIRST)), _milliseconds(_LAST))
    return _EPOCH + held * _MILLISECOND


def row(table: Table, record: Record, landing: Landing) -> Row:
    """The row of a record, in the order of `table.landed`."""
    return (*(_value(column, record) for column in table.columns), *landing.values())


def dead_letter_row(value: bytes | None, headers: Headers, landing: Landing) -> Row:
    """The row of a dead letter. Never fails: unreadable headers are landed as that."""
    pairs = [(name, content or b"") for name, content in headers]
    every = {name.encode(): content for name, content in pairs}
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
    return (*said, value or b"", every, *landing.values())


def _value(column: Column, holder: Any) -> Any:
    found = holder
    for name in column.path:
        if found is None:
            break
        found = getattr(found, name)
    if column.shape == "tuples":
        return _tuples(column.elements, found or ())
    if column.shape == "list":
        return list(found or ())
    if column.shape == "map":
        return _map(found or {})
    return found


def _tuples(elements: tuple[Column, ...], items: Iterable[Any]) -> list[Row]:
    return [tuple(_value(element, item) for element in elements) for item in items]


def _map(found: Mapping[str, Any]) -> dict[str, Any]:
    return dict(found)


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def bounded(time: datetime) -> datetime:
    """The time, held within what ClickHouse can carry."""
    return min(max(time, _FIRST), _LAST)
