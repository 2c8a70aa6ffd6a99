"""Maps a message to its row: table, coordinates, or the reason why it cannot be landed."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import structlog

from schemas.catalog import plain_schema
from schemas.catalog import topic as topic_spec
from schemas.codec import Codec, unframe
from schemas.errors import Undecodable, one_line
from schemas.log_events import FIELDS_NOT_LANDED
from schemas.stages import DEAD_LETTERS, RETRY
from sinks import metrics
from sinks.dead_letters import NotADeadLetter, parse_dead_letter
from sinks.rows import Landing, Row, bounded, dead_letter_row, row_maker
from sinks.tables import Table, tables
from streams.core.message import Message
from streams.core.unread import Unread
from streams.runtime.delivery import Delivery
from streams.stages.sink.batch import Entry, Refusal

_MOST_FIELDS = 20
"""Fields of a foreign schema in one line of the log."""

log = structlog.get_logger(__name__)


class RowMapper:
    """Makes entries of messages. `topic_id` returns Kafka's id of a logical topic, or raises BrokerAway."""

    def __init__(self, codec: Codec, topic_id: Callable[[str], UUID]) -> None:
        self._codec = codec
        self._topic_id = topic_id
        self._rows = {name: row_maker(table) for name, table in tables().items() if table.topic.record}
        self._writers: set[tuple[str, int]] = set()

    def entry(self, delivery: Delivery) -> Entry:
        """The entry of a record. Raises RegistryAway, BrokerAway."""
        arrived = delivery.arrived
        topic = arrived.coordinates.topic
        topic_id = self._topic_id(topic)
        if isinstance(arrived.value, Unread):
            return Entry(delivery, topic_id, refusal=Refusal(arrived.value.kind, arrived.value.reason))
        if arrived.value is None and topic_spec(topic).cleanup == "compact":
            metrics.TOMBSTONES.labels(topic).inc()
            return Entry(delivery, topic_id)
        try:
            table, values = self._row(arrived, topic_id)
        except Undecodable as error:
            return Entry(delivery, topic_id, refusal=Refusal(error.kind, error.reason))
        except NotADeadLetter as error:
            return Entry(delivery, topic_id, refusal=Refusal("unreadable_headers", str(error)))
        return Entry(delivery, topic_id, table, values)

    def _row(self, arrived: Message, topic_id: UUID) -> tuple[Table, Row]:
        if arrived.coordinates.topic == DEAD_LETTERS:
            at = _landing(arrived, topic_id, schema_id=0)
            return tables()[DEAD_LETTERS], dead_letter_row(arrived.value, arrived.headers, at)
        schema_id, _ = unframe(arrived.value)
        if arrived.coordinates.topic.startswith(RETRY):
            at = self._first_landing(arrived, schema_id)
        else:
            at = _landing(arrived, topic_id, schema_id)
        record = self._codec.decode(at.topic, arrived.value)
        self._notice(at.topic, at.schema_id)
        return tables()[at.topic], self._rows[at.topic](record, at)

    def _first_landing(self, arrived: Message, schema_id: int) -> Landing:
        """First coordinates of a redriven record: its row gets those."""
        if not arrived.has_headers:
            raise NotADeadLetter("its headers are unreadable, and they say where it stood first")
        letter = parse_dead_letter(arrived.headers)
        if letter.topic not in self._rows:
            raise NotADeadLetter(f"header dlq.topic is {letter.topic!r}, which has no table of records")
        try:
            topic_id = UUID(letter.topic_id) if letter.topic_id else self._topic_id(letter.topic)
        except ValueError:
            raise NotADeadLetter(f"header dlq.topic_id is {letter.topic_id!r}, not a UUID") from None
        return Landing(
            topic_id=topic_id,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            timestamp=bounded(letter.timestamp),
            key=arrived.key or b"",
            schema_id=schema_id,
        )

    def _notice(self, topic: str, schema_id: int) -> None:
        """Reports once for each writer's schema which of its fields have no column here."""
        if (topic, schema_id) in self._writers:
            return
        record = topic_spec(topic).record
        assert record is not None
        unknown = list(unknown_fields(self._codec.writer_schema(topic, schema_id), plain_schema(record)))
        metrics.UNKNOWN_FIELDS.labels(topic, schema_id).set(len(unknown))
        if unknown:
            FIELDS_NOT_LANDED.emit(
                log,
                topic=topic,
                schema_id=schema_id,
                fields=[one_line(field) for field in unknown[:_MOST_FIELDS]],
                count=len(unknown),
                next_step=FIELDS_NOT_LANDED.remedy,
            )
        self._writers.add((topic, schema_id))


def _landing(arrived: Message, topic_id: UUID, schema_id: int) -> Landing:
    return Landing(
        topic_id=topic_id,
        topic=arrived.coordinates.topic,
        partition=arrived.coordinates.partition,
        offset=arrived.coordinates.offset,
        timestamp=bounded(arrived.timestamp),
        key=arrived.key or b"",
        schema_id=schema_id,
    )


def unknown_fields(writer: Any, reader: Any) -> Iterator[str]:
    """Fields of the writer's schema that the reader's lacks, as `record.field`."""
    known = {name: set(fields) for name, fields in _records(reader)}
    for name, fields in _records(writer):
        yield from (f"{name}.{field}" for field in fields if field not in known.get(name, ()))


def _records(schema: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _records(branch)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            name = str(schema["name"]).rpartition(".")[2]
            yield name, [field["name"] for field in schema["fields"]]
        for part in ("type", "items", "values"):
            yield from _records(schema.get(part))
        for field in schema.get("fields", ()):
            yield from _records(field["type"])
