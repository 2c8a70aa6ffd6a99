"""Records made from their Avro schemas alone, so that a new field is in every test at once."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from schemas.catalog import plain_schema
from schemas.codec import record_type
from schemas.record import Record
from sinks import dead_letters
from sinks.rows import Landing, Row, dead_letter_row, row_maker
from sinks.tables import Table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC_ID = UUID("0b9fc1a2-5f6e-4d3c-8b7a-1e2d3c4b5a69")


def sample(record: str, *, bare: bool = False) -> Record:
    """A record with every field set and no two values alike; `bare`: with all absent that may be."""
    return record_type(record).model_validate(_Sampler(bare).value(plain_schema(record), ""))


def landing(topic: str, **changes: Any) -> Landing:
    """Where a message stood."""
    fields: dict[str, Any] = {
        "topic_id": TOPIC_ID,
        "topic": topic,
        "partition": 3,
        "offset": 7,
        "timestamp": NOON,
        "key": b"media_buyer/d1",
        "schema_id": 5,
    }
    return Landing(**(fields | changes))


def sample_row(
    table: Table, *, bare: bool = False, place: Mapping[str, Any] | None = None, **changes: Any
) -> Row:
    """The row of a sample; `changes` are fields of the record (of its headers, for a dead letter)."""
    at = landing(table.topic.name, **(place or {}))
    if table.topic.record is None:
        return dead_letter_row(b"\x00\xfe", [] if bare else dead_letter(**changes), at)
    return row_maker(table)(sample(table.topic.record, bare=bare).model_copy(update=changes), at)


def dead_letter(**changes: Any) -> list[tuple[str, bytes]]:
    """Headers of a dead letter of the join."""
    fields: dict[str, Any] = {
        "topic": "agent.decisions",
        "partition": 3,
        "offset": 41,
        "timestamp": NOON,
        "stage": "join",
        "error_type": "truncated",
        "error": "the body ends",
        "failed_at": NOON,
        "headers": [("traceparent", b"\xff")],
    }
    return [
        # the version of opoi is not the sample's to change
        (name, b"1.2.3" if name == "dlq.app_version" else value)
        for name, value in dead_letters.dead_letter(**(fields | changes)).headers()
    ]


class _Sampler:
    def __init__(self, bare: bool) -> None:
        self._bare = bare
        self._numbers = count(1)
        self._named: dict[str, Any] = {}

    def value(self, schema: Any, path: str) -> Any:
        if isinstance(schema, list):
            [inner] = [branch for branch in schema if branch != "null"]
            # made in any case, as are items: it may define a type that a later field names
            found = self.value(inner, path)
            return None if self._bare else found
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        if schema["type"] in ("record", "enum"):
            self._named[schema["name"]] = schema
        return self._of(schema, path)

    def _of(self, schema: dict[str, Any], path: str) -> Any:
        kind, number = schema["type"], next(self._numbers)
        if kind == "record":
            return {
                field["name"]: self.value(field["type"], f"{path}.{field['name']}".lstrip("."))
                for field in schema["fields"]
            }
        if kind == "enum":
            return schema["symbols"][number % len(schema["symbols"])]
        if kind == "array":
            items = [self.value(schema["items"], f"{path}[{item}]") for item in (0, 1)]
            return [] if self._bare else items
        if kind == "map":
            values = {"first": self.value(schema["values"], f"{path}.first")}
            return {} if self._bare else values
        if schema.get("logicalType") == "timestamp-millis":
            return NOON + timedelta(milliseconds=number)
        plain = {
            "string": f"{path} é",
            "bytes": b"\x00\xff" + path.encode(),
            "int": number,
            "long": 2**40 + number,
            "double": number + 0.25,
            "boolean": number % 2 == 0,
        }
        return plain[kind]
