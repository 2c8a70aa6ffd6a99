"""Which writers' schemas are safe to decode with.

Time and memory of decoding grow with the length of the body, except with two kinds of schema, which
no record of ours needs: items of no bytes, of which a few bytes can announce billions, and recursive
types, of which a few megabytes overrun the C stack.
"""

from typing import Any


def unsafe(schema: Any) -> str | None:
    """Why a schema parsed by fastavro must not be decoded with, in one line; None where it may."""
    named: dict[str, Any] = {}
    _collect(schema, named)
    return _fault(schema, named, ())


def _parts(schema: Any) -> list[Any]:
    """The schemas directly within one."""
    if isinstance(schema, list):
        return schema
    if not isinstance(schema, dict):
        return []
    return [
        *(schema[key] for key in ("items", "values") if key in schema),
        *(field["type"] for field in schema.get("fields", ())),
        # `{"type": {...}}`, a type in brackets
        *([schema["type"]] if isinstance(schema["type"], dict | list) else ()),
    ]


def _collect(schema: Any, named: dict[str, Any]) -> None:
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    for part in _parts(schema):
        _collect(part, named)


def _fault(schema: Any, named: dict[str, Any], within: tuple[str, ...]) -> str | None:
    if isinstance(schema, str):
        if schema in within:
            return f"{schema} holds itself"
        return _fault(named[schema], named, within) if schema in named else None
    if isinstance(schema, dict):
        if "name" in schema:
            within = (*within, schema["name"])
        if "items" in schema and _is_empty(schema["items"], named):
            return f"an array in {within[-1] if within else 'it'} has items of no bytes"
    return next((fault for part in _parts(schema) if (fault := _fault(part, named, within))), None)


def _is_empty(schema: Any, named: dict[str, Any]) -> bool:
    """Whether a value takes no bytes."""
    if isinstance(schema, str):
        return schema == "null" or (schema in named and _is_empty(named[schema], named))
    if isinstance(schema, list):
        return False  # the branch takes a byte
    if schema["type"] in ("record", "error"):
        return all(_is_empty(field["type"], named) for field in schema["fields"])
    if schema["type"] == "fixed":
        return bool(schema["size"] == 0)
    return bool(schema["type"] == "null")
