"""Reduces a foreign schema to the parts that decoding needs.

Anyone who may register a schema may register any JSON. Defaults, aliases and docs do not affect the bytes;
fastavro's own keys (`__fastavro_parsed`) would switch its checks off; decimals would take hours to read.
"""

import json
from typing import Any

MOST_TEXT = 256 * 1024
"""Characters of a schema's JSON; our largest has 10,000."""
MOST_PARTS = 10_000
"""Types, fields and symbols of a schema."""
MOST_DEPTH = 64
"""Nesting of types, by reference too."""
_MOST_FIXED = 2**31 - 1

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class UnsafeSchema(ValueError):
    """A schema that must not be used for decoding; the text says why in one line: "it is no JSON"."""


def schema_of_text(text: str) -> Any:
    """The JSON value of a schema's text. Raises UnsafeSchema."""
    if len(text) > MOST_TEXT:
        raise UnsafeSchema(f"it has {len(text)} characters, allowed are {MOST_TEXT}")
    try:
        return json.loads(text)
    except RecursionError:
        raise UnsafeSchema("its JSON is nested too deep") from None
    except ValueError as error:
        raise UnsafeSchema(f"it is no JSON: {error}") from error


def cleaned(schema: Any) -> Any:
    """The JSON value of a schema, reduced to names, types, sizes, symbols and times. Raises UnsafeSchema."""
    return _Cleaner().type_of(schema, 1)


class _Cleaner:
    def __init__(self) -> None:
        self._left = MOST_PARTS

    def type_of(self, part: Any, depth: int) -> Any:
        self._count(1)
        if depth > MOST_DEPTH:
            raise UnsafeSchema(f"it is nested more than {MOST_DEPTH} deep")
        if isinstance(part, str):
            return part
        if isinstance(part, list):
            if any(isinstance(branch, list) for branch in part):
                raise not_avro("a union lies directly in a union")
            return [self.type_of(branch, depth + 1) for branch in part]
        if not isinstance(part, dict):
            raise not_avro(f"{json.dumps(part)[:100]} is no type")
        match part.get("type"):
            case "record" | "error":
                return {**_names(part), "fields": self._fields(_list(part, "fields"), depth + 1)}
            case "enum":
                return {**_names(part), "symbols": self._symbols(_list(part, "symbols"))}
            case "fixed":
                return {**_names(part), "size": _size(part.get("size"))}
            case "array":
                return {"type": "array", "items": self.type_of(part.get("items"), depth + 1)}
            case "map":
                return {"type": "map", "values": self.type_of(part.get("values"), depth + 1)}
            case str(name) if name in PRIMITIVES:
                return {"type": name, **_time(part.get("logicalType"))}
            case str(name):
                raise not_avro(f"unknown type {name[:100]!r}")
        raise not_avro("a type has no name")

    def _count(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise UnsafeSchema(f"it has more than {MOST_PARTS} types, fields and symbols")

    def _fields(self, fields: list[Any], depth: int) -> list[dict[str, Any]]:
        found: dict[str, Any] = {}
        for field in fields:
            name = field.get("name") if isinstance(field, dict) else None
            if not isinstance(name, str):
                raise not_avro("a field has no name")
            if name in found:
                raise not_avro(f"two fields are called {name[:100]!r}")
            found[name] = self.type_of(field.get("type"), depth)
        return [{"name": name, "type": kind} for name, kind in found.items()]

    def _symbols(self, symbols: list[Any]) -> list[str]:
        self._count(len(symbols))
        if not all(isinstance(symbol, str) for symbol in symbols):
            raise not_avro("a symbol is no string")
        return list(symbols)


def not_avro(text: str) -> UnsafeSchema:
    """The error of a schema that breaks Avro's rules."""
    return UnsafeSchema(f"it is not valid Avro: {text}")


def _names(part: dict[str, Any]) -> dict[str, Any]:
    named = {key: part[key] for key in ("type", "name", "namespace") if part.get(key) is not None}
    if not isinstance(named.get("name"), str) or not isinstance(named.get("namespace", ""), str):
        raise not_avro(f"the name of a type of the kind {part['type']} is no string")
    return named


def _list(part: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(found := part.get(key), list):
        raise not_avro(f"the {key} of a type of the kind {part['type']} are no list")
    return found


def _size(size: Any) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_FIXED:
        raise not_avro(f"the size of a fixed is {str(size)[:100]}, allowed is 0 to {_MOST_FIXED}")
    return size


def _time(logical: Any) -> dict[str, str]:
    """Keeps timestamps; other logical types are read as their underlying type, as Avro allows."""
    is_time = isinstance(logical, str) and logical.removeprefix("local-").startswith("timestamp-")
    return {"logicalType": logical} if is_time else {}
