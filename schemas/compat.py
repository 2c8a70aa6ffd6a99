"""Whether a schema can read what earlier versions wrote. Apache Avro decides; the error texts are ours."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import avro.schema
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
    lookup_writer_field,
)
from avro.errors import AvroException

from schemas.errors import one_line


def incompatibilities(reader: dict[str, Any], writer: dict[str, Any]) -> list[str]:
    """Why data of the schema `writer` cannot be read through `reader`, one line a field; empty where it can.

    Both are self-contained Avro schemas; `writer` may be untrusted.
    """
    new = _parsed(json.dumps(reader))
    try:
        old = _parsed(json.dumps(writer))
    except AvroException as error:
        # Apache Avro is stricter with names than fastavro
        return [f"the earlier schema is not valid Avro: {one_line(str(error))}"]
    found = _verdict(new, old)
    if found.compatibility is SchemaCompatibilityType.compatible:
        return []
    return list(dict.fromkeys(_narrow(new, old, "")))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    return avro.schema.parse(text)


def _verdict(reader: Any, writer: Any) -> Any:
    checker: Any = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    return checker.get_compatibility(reader, writer)


def _narrow(reader: Any, writer: Any, field: str) -> Iterator[str]:
    """Where an incompatible pair differs. Avro's own locations do not reach below unions."""
    verdict = _verdict(reader, writer)
    if verdict.compatibility is SchemaCompatibilityType.compatible:
        return
    deeper = list(_deeper(reader, writer, field))
    if deeper:
        yield from deeper
        return
    place = f"field {field}" if field else "the record"
    if (new := _name(reader)) != (old := _name(writer)):
        yield f"{place}: was {old}, is now {new}"
    else:
        yield f"{place}: {', '.join(sorted(verdict.messages))}"


def _name(schema: Any) -> str:
    return str(getattr(schema, "fullname", schema.type))


def _deeper(reader: Any, writer: Any, field: str) -> Iterator[str]:
    if reader.type == writer.type == "record":
        for part in reader.fields:
            path = f"{field}.{part.name}" if field else part.name
            source = lookup_writer_field(writer, part)
            if source is not None:
                yield from _narrow(part.type, source.type, path)
            elif not part.has_default:
                yield f"field {path}: new and without a default"
    elif reader.type == writer.type == "array":
        yield from _narrow(reader.items, writer.items, f"{field}[]")
    elif reader.type == writer.type == "map":
        yield from _narrow(reader.values, writer.values, f"{field}{{}}")
    elif reader.type == writer.type == "enum":
        missing = sorted(set(writer.symbols) - set(reader.symbols))
        if missing:
            yield f"field {field}: lacks the symbols {', '.join(missing)} of {writer.name}"
    elif "union" in (reader.type, writer.type):
        yield from _branches(reader, writer, field)


def _branches(reader: Any, writer: Any, field: str) -> Iterator[str]:
    """Each branch of the writer against the reader's branch of the same type."""
    choices = reader.schemas if reader.type == "union" else [reader]
    for source in writer.schemas if writer.type == "union" else [writer]:
        if any(_verdict(c, source).compatibility is SchemaCompatibilityType.compatible for c in choices):
            continue
        alike = [c for c in choices if c.type == source.type and c.type in ("record", "array", "map", "enum")]
        if alike:
            yield from _narrow(alike[0], source, field)
        else:
            known = " or ".join(str(c.type) for c in choices)
            yield f"field {field}: was also {source.type}, is now {known} only"
