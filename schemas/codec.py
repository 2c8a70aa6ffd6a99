"""Records to bytes and back: Confluent framing around Avro.

A value is byte 0, a 4-byte big-endian schema id, and the Avro body
(https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/).
"""

import io
import struct
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import fastavro
from fastavro.read import SchemaResolutionError
from pydantic import ValidationError

from schemas import records
from schemas.catalog import NAMESPACE, plain_schema, schema, topic
from schemas.cleaned_schema import UnsafeSchema
from schemas.dead_letter_kinds import DeadLetterKind
from schemas.decode_limits import TooManyValues, WriterSchema, writer_schema
from schemas.errors import CatalogError, Undecodable, Unencodable
from schemas.record import Record
from schemas.store import SchemaStore

MAGIC = 0
MOST_ID = 2**31 - 1
"""The largest schema id: registries use Java's int."""
REFUSED_SECONDS = 60.0
"""How long a refused schema is not looked up again."""
_MOST_KEPT = 500
"""Most cached writers' schemas, and most cached refusals; a full cache is emptied."""
_HEADER = struct.Struct(">bI")

# what fastavro raises on bytes that do not match their schema
_DECODE_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    SchemaResolutionError,
    TypeError,
    ValueError,
    struct.error,
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
    schema_id = _HEADER.unpack_from(value)[1]
    if schema_id > MOST_ID:
        raise Undecodable("unknown_schema_id", f"no registry has a schema {schema_id}: ids end at {MOST_ID}")
    return schema_id, value[_HEADER.size :]


@dataclass(frozen=True, slots=True)
class _Writer:
    """How to read the records of a topic that have one schema id."""

    schema: WriterSchema
    reader: Any
    """This version's schema; None where it equals the writer's: resolving takes twice the time."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    kind: DeadLetterKind
    reason: str
    until: float


class Codec:
    """Encodes and decodes the records of topics; schemas are looked up once. Thread-safe."""

    def __init__(self, store: SchemaStore, subject_of: "SubjectNames | None" = None) -> None:
        self._store = store
        self._subject_of = subject_of or SubjectNames({})
        self._ids: dict[str, int] = {}
        self._writers: dict[tuple[str, int], _Writer] = {}
        self._refused: dict[tuple[str, int], _Refusal] = {}

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
        writer = self._writer(topic_name, expected, schema_id)
        source = writer.schema.source(body)
        try:
            decoded = fastavro.schemaless_reader(source, writer.schema.schema, writer.reader)
        except EOFError as error:
            raise Undecodable(
                "truncated", f"the body ends after {len(body)} bytes, in the middle of a {expected}"
            ) from error
        except TooManyValues as error:
            raise Undecodable(
                "too_many_values", f"the {len(body)} bytes of the body hold more values than a {expected} may"
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
        """`decode`, typed as the record that the caller expects."""
        record = self.decode(topic_name, value)
        assert isinstance(record, wanted), f"{topic_name} carries {record.schema_name}"
        return record

    def writer_schema(self, topic_name: str, schema_id: int) -> Any:
        """The parsed schema of a writer whose records are decoded. Raises Undecodable, RegistryAway."""
        expected = topic(topic_name).record
        if expected is None:
            raise CatalogError(f"{topic_name} carries raw bytes, not a record")
        return self._writer(topic_name, expected, schema_id).schema.schema

    def _writer(self, topic_name: str, expected: str, schema_id: int) -> _Writer:
        place = topic_name, schema_id
        if (known := self._writers.get(place)) is not None:
            return known
        if (refusal := self._refused.get(place)) is not None and time.monotonic() < refusal.until:
            raise Undecodable(refusal.kind, refusal.reason)
        try:
            writer = self._admitted(topic_name, expected, schema_id)
        except Undecodable as error:
            until = time.monotonic() + REFUSED_SECONDS
            _keep(self._refused, place, _Refusal(error.kind, error.reason, until))
            raise
        _keep(self._writers, place, writer)
        return writer

    def _admitted(self, topic_name: str, expected: str, schema_id: int) -> _Writer:
        ours = schema(expected)
        try:
            written = writer_schema(self._store.schema_of(schema_id), ours)
        except UnsafeSchema as fault:
            why = f"schema {schema_id} cannot be used for decoding: {fault}"
            raise Undecodable("unresolvable", why) from fault
        found = written.schema if isinstance(written.schema, dict) else {}
        if found.get("name") != f"{NAMESPACE}.{expected}" or found["type"] != "record":
            raise Undecodable(
                "wrong_record",
                f"schema {schema_id} is of {found.get('name')!r}; {topic_name} carries {expected}",
            )
        if written.schema == _cleaned_ours(expected):
            return _Writer(written, None)
        self._check_subject(topic_name, schema_id)
        return _Writer(written, ours)

    def _check_subject(self, topic_name: str, schema_id: int) -> None:
        """Checks that the schema is registered for the topic: then the registry checked its compatibility."""
        subject = self._subject_of(topic_name)
        found = self._store.subjects_of(schema_id)
        # outside of the default context a subject is ":.context:subject"
        if found is None or any(subject in (name, name.rpartition(":")[2]) for name in found):
            return
        raise Undecodable(
            "wrong_subject",
            f"schema {schema_id} is registered under {', '.join(sorted(found)[:3]) or 'no subject'}, "
            f"not under {subject}: register it there and send the record again",
        )


@cache
def _cleaned_ours(record: str) -> Any:
    """This version's schema, cleaned as writers' schemas are, so that the two can be compared."""
    return writer_schema(plain_schema(record)).schema


def _keep(kept: dict[tuple[str, int], Any], place: tuple[str, int], what: Any) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[place] = what


def _in_words(error: ValidationError | OverflowError) -> str:
    """Which fields are invalid and how, without their values: those may be private."""
    if isinstance(error, OverflowError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3]]
    return "; ".join(lines) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")


def _why_unencodable(record: Record, error: Exception) -> str:
    """Validates a record that was made without validation (`model_construct`, `model_copy`)."""
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
