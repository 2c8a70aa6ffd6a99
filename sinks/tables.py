"""The landing tables: one per topic, one row per Kafka coordinate; rows never change.

A coordinate is (Kafka's topic id, partition, offset): with the id, coordinates of a recreated broker never
collide with old rows. Rows landed twice have the same sort key, and ClickHouse merges them into one. Readers
use the views (`sinks.ddl`), which are correct before the merge too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from schemas.catalog import DAY, TopicSpec, topics
from schemas.stages import DEAD_LETTERS
from sinks.columns import BODY, TIME, Column, columns_of

# past its retention Kafka has no records, so these tables keep them for longer
RETENTIONS_KEPT = 4

# in every landing table, after the record's own columns; `_inserted_at` is ClickHouse's to fill
KAFKA_COLUMNS = (
    Column("_topic_id", "UUID", "Kafka's own id of the topic."),
    Column("_topic", "LowCardinality(String)", "Logical name of the topic."),
    Column("_partition", "Int32", "Kafka partition."),
    Column("_offset", "Int64", "Kafka offset.", codec="Delta, ZSTD(1)"),
    Column("_timestamp", TIME, "Kafka timestamp.", codec="Delta, ZSTD(1)"),
    Column("_key", "String", "Message key; empty where there is none.", codec=BODY),
    Column("_schema_id", "Int32", "Registry's id of the writer's schema; 0 for raw bytes."),
)
INSERTED_AT = Column("_inserted_at", TIME, "When the row was landed.", default="now64(3)")
COORDINATES = ("_topic_id", "_partition", "_offset")

# what the headers of a dead letter say; of one with unreadable headers, its own coordinates
DEAD_LETTER_COLUMNS = (
    Column("stage", "LowCardinality(String)", "Stage that gave the record up."),
    Column("topic", "LowCardinality(String)", "Logical topic that the record stood in."),
    Column("partition", "Int32", "Its partition there."),
    Column("offset", "Int64", "Its offset there."),
    Column("timestamp", TIME, "Its Kafka timestamp there."),
    Column("error_type", "LowCardinality(String)", "Short stable code of the error."),
    Column("error", "String", "The error, its first 512 bytes.", codec=BODY),
    Column("app_version", "LowCardinality(String)", "Version of opoi that gave it up."),
    Column("first_failed_at", TIME, "When it failed first."),
    Column("replays", "Int32", "How often it was sent again before."),
    Column("value", "String", "The original bytes; where value_bytes is set, their head.", codec=BODY),
    Column(
        "headers",
        "Map(String, String)",
        "Headers: of a repeated name the last value, a null one as empty; the topic has them all.",
        codec=BODY,
    ),
    Column("value_bytes", "Nullable(Int64)", "Bytes of the whole value where it is cut; else null."),
    Column("value_sha256", "Nullable(String)", "sha256 of the whole value, in hex, where it is cut."),
    Column("key_bytes", "Nullable(Int64)", "Bytes of the whole key where it is cut; else null."),
    Column("key_sha256", "Nullable(String)", "sha256 of the whole key, in hex, where it is cut."),
    Column("dropped_headers", "Nullable(Int64)", "How many of the record's headers are left out; else null."),
    Column("dropped_headers_bytes", "Nullable(Int64)", "Bytes of their names and values."),
    Column("dropped_headers_sha256", "Nullable(String)", "sha256 of lengths, names and values, in hex."),
    Column("is_cut", "Bool", "Whether the letter lacks a part of its record."),
    Column("headers_unreadable", "Bool", "Whether nothing could read the record's own headers."),
)


@dataclass(frozen=True, slots=True)
class Table:
    """One landing table. `columns` are those of the record (of the headers, for dead letters)."""

    name: str
    topic: TopicSpec
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    """Columns that identify the record of a row."""
    version: tuple[str, ...]
    """Columns that order the versions of one identity; the highest is live."""

    @property
    def view(self) -> str:
        """Name of the view by identity."""
        return self.name.removesuffix("_raw")

    @property
    def landed(self) -> tuple[Column, ...]:
        """The columns of a row, in its order."""
        return (*self.columns, *KAFKA_COLUMNS)

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Agent, day, ids, coordinates: the last make one coordinate one row."""
        required = {column.name for column in self.columns if not column.nullable}
        agent = ("agent",) if "agent" in required else ()
        ids = (name for name in self.identity if name in required and name != "agent")
        return (*agent, "toDate(_timestamp)", *ids, *COORDINATES)

    @property
    def indexed(self) -> tuple[str, ...]:
        """Ids that people look rows up by, each with a skip index."""
        return tuple(column.name for column in self.columns if column.name in ("decision_id", "replay_id"))

    @property
    def kept_days(self) -> int | None:
        """Days that a row is kept; None: for ever."""
        if self.topic.cleanup == "compact" or self.topic.retention_ms is None:
            return None
        return RETENTIONS_KEPT * self.topic.retention_ms // DAY


def _tables() -> Iterator[Table]:
    for spec in topics().values():
        name = spec.name.removeprefix("opoi.").replace(".", "_").replace("-", "_") + "_raw"
        if spec.name == DEAD_LETTERS:
            identity = ("stage", "topic", "partition", "offset")
            yield Table(name, spec, DEAD_LETTER_COLUMNS, identity, ("replays",))
        elif spec.sink and spec.record:
            yield Table(name, spec, columns_of(spec.record), spec.identity, spec.version)


@cache
def tables() -> dict[str, Table]:
    """The landing table of each topic that has one, by logical topic name."""
    return {table.topic.name: table for table in _tables()}
