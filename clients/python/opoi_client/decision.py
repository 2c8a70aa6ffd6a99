"""A decision as it is sent: a plain dict in the shape of `AgentDecision.avsc`, which is in this package."""

import base64
import io
import json
import math
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
import fastavro.schema

SCHEMA_FILE = "AgentDecision.avsc"


class Decision(dict[str, Any]):
    """The AgentDecision; fields that are at their default may be absent."""

    @property
    def key(self) -> str:
        """The message key: everything about one decision must share it."""
        return f"{self['agent']}/{self['decision_id']}"

    def to_avro(self) -> bytes:
        """The Avro body, without the registry's five bytes. Raises ValueError for a field of a wrong type."""
        body = io.BytesIO()
        try:
            fastavro.schemaless_writer(body, schema(), self)
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            raise ValueError(f"decision {self.get('decision_id')!r} cannot be written: {error}") from error
        return body.getvalue()

    def to_json(self) -> str:
        """One line of JSON: times in ISO 8601, bytes in base64, numbers that JSON lacks as texts."""
        return json.dumps(_plain(self), ensure_ascii=False, allow_nan=False)


def schema_text() -> str:
    """The Avro schema of AgentDecision, whole in itself."""
    return files("opoi_client").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")


@cache
def schema() -> Any:
    """The schema, parsed."""
    return fastavro.schema.parse_schema(json.loads(schema_text()), named_schemas={})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
