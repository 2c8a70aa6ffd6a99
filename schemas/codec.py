"""Records to bytes and back: Confluent framing around Avro.

A value is byte 0, a 4-byte big-endian schema id, and the Avro body
(https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/).
"""

import io
import struct
from typing import Any, TypeVar

import fastavro
import fastavro.schema
from fastavro.read import SchemaResolutionError
from pydantic import ValidationError

from schemas import records
from schemas.bounds import unsafe
from schemas.catalog import NAMESPACE, plain_schema, schema, topic
from schemas.errors import CatalogError, Undecodable, Unencodable
from schemas.record import Record
from schemas.store import SchemaStore

MAGIC = 0
_HEADER = struct.Struct(">bI")

# what fastavro raises on bytes that are not what their schema says
_DECODE_FAULTS = (
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    MemoryError,
    SchemaResolutionError,
    TypeError,
    ValueError,
    struct.error,
)

_PARSE_FAULTS = (
    *_DECODE_FAULTS,
    AttributeError,
    RecursionError,
    fastavro.schema.SchemaParseException,
)

AnyRecord = TypeVar("AnyRecord", bound=Record)


def record_type(name: str) -> type[Record]:
    """The Python type of the record of that name."""
    found = getattr(records, name, None)
    if not (isinstance(found, type) and issubclass(found, Record)):
        raise CatalogError(f"schemas/records.py has no {name!r}; run `python -m schemas.generate`")
    return found


def unframe(value: bytes | None) -> tuple[int, bytes]:
    """Schema id and Avro body of a framed value. Raises Undecodable."""
    if not value:
        raise Undecodable("empty_body", "the value is empty")
    if len(value) < _HEADER.size or value[0] != MAGIC:
        raise Undecodable(
            "not_framed",
            f"the value starts with {value[:5].hex(' ')}, not with 00 and a 4-byte schema id",
        )
    return _HEADER.unpack_from(value)[1], value[_HEADER.size :]


class Codec:
    """Encodes and decodes the records of topics; schemas are looked up once. Thread-safe."""

    def __init__(self, store: SchemaStore, subject_of: "SubjectNames | None" = None) -> None:
        self._store = store
        self._subject_of = subject_of or SubjectNames({})
        self._ids: dict[str, int] = {}
        self._writers: dict[int, Any] = {}
        self._readers: dict[int, Any] = {}

    def encode(self, topic_name: str, record: Record) -> bytes:
        """The framed value. Raises Unencodable, NotRegistered, RegistryAway."""
        expected = topic(topic_name).record
        if expected is None or record.schema_name != f"{NAMESPACE}.{expected}":
            raise Unencodable(f"{topic_name} carries {expected}, not {record.schema_name}")
        if topic_name not in self._ids:
            self._ids[topic_name] = self._store.id_of(self._subject_of(topic_name), plain_schema(expected))
        buffer = io.BytesIO()
        buffer.write(_HEADER.pack(MAGIC, self._ids[topic_name]))
        try:
            fastavro.schemaless_writer(buffer, schema(expected), record.to_avro())
        except (TypeError, ValueError, OverflowError) as error:
            raise Unencodable(f"{expected} cannot be written: {_why_unencodable(record, error)}") from error
        return buffer.getvalue()

    def decode(self, topic_name: str, value: bytes | None) -> Record:
        """The record, read through this version's schema. Raises Undecodable, RegistryAway."""
        expected = topic(topic_name).record
        if expected is None:
            raise CatalogError(f"{topic_name} carries raw bytes, not a record")
        schema_id, body = unframe(value)
        writer = self._writer(schema_id)
        if writer.get("name") != f"{NAMESPACE}.{expected}":
            raise Undecodable(
                "wrong_record",
                f"schema {schema_id} is of {writer.get('name')!r}; {topic_name} carries {expected}",
            )
        source = io.BytesIO(body)
        try:
            decoded = fastavro.schemaless_reader(source, writer, self._reader(schema_id, expected))
        except EOFError as error:
            raise Undecodable(
                "truncated", f"the body ends after {len(body)} bytes, in the middle of a {expected}"
            ) from error
        except _DECODE_FAULTS as error:
            text = f"{type(error).__name__}: {error}"
            raise Undecodable("unresolvable", f"the body is no {expected}: {text[:400]}") from error
        if source.tell() != len(body):
            raise Undecodable("trailing_bytes", f"{len(body) - source.tell()} bytes follow the {expected}")
        try:
            return record_type(expected).model_validate(decoded)
        except (ValidationError, OverflowError) as error:
            raise Undecodable(
                "contract", f"the {expected} breaks its contract: {_in_words(error)}"
            ) from error

    def decode_as(self, topic_name: str, value: bytes | None, wanted: type[AnyRecord]) -> AnyRecord:
        """`decode`, with the type that the caller expects of the topic."""
        record = self.decode(topic_name, value)
        assert isinstance(record, wanted), f"{topic_name} carries {record.schema_name}"
        return record

    def _writer(self, schema_id: int) -> Any:
        if schema_id not in self._writers:
            found = self._store.schema_of(schema_id)
            try:
                parsed = fastavro.parse_schema(found, named_schemas={})
            except _PARSE_FAULTS as error:
                raise Undecodable("unresolvable", f"schema {schema_id} is not valid Avro: {error}") from error
            if (fault := unsafe(parsed)) is not None:
                raise Undecodable("unresolvable", f"schema {schema_id} is not decoded with: {fault}")
            self._writers[schema_id] = parsed
        return self._writers[schema_id]

    def _reader(self, schema_id: int, record: str) -> Any:
        """This version's schema; None where it is the writer's, since resolving takes twice the time."""
        if schema_id not in self._readers:
            ours = schema(record)
            same = _wire_form(self._writers[schema_id]) == _wire_form(ours)
            self._readers[schema_id] = None if same else ours
        return self._readers[schema_id]


def _wire_form(part: Any) -> Any:
    """A parsed schema without what does not change how bytes are read."""
    if isinstance(part, dict):
        return {
            key: _wire_form(value)
            for key, value in part.items()
            if key not in ("doc", "default", "aliases") and not key.startswith("__")
        }
    if isinstance(part, list):
        return [_wire_form(item) for item in part]
    return part


def _in_words(error: ValidationError | OverflowError) -> str:
    """Which fields are at fault and how; never the values, they may be anybody's data."""
    if isinstance(error, OverflowError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3]]
    return "; ".join(lines) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")


def _why_unencodable(record: Record, error: Exception) -> str:
    """A record that was made without validation (`model_construct`, `model_copy`) is validated now."""
    try:
        type(record).model_validate(record.to_avro())
    except ValidationError as invalid:
        return _in_words(invalid)
    return type(error).__name__


class SubjectNames:
    """Subject of a topic: its physical name and `-value` (TopicNameStrategy)."""

    def __init__(self, physical_names: dict[str, str]) -> None:
        self._physical = physical_names

    def __call__(self, topic_name: str) -> str:
        return f"{self._physical.get(topic_name, topic_name)}-value"
