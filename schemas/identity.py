"""Canonical form, content hashes, deterministic ids and message keys."""

import hashlib
import json
import uuid
from typing import Any

import rfc8785

# never changes: every id of ours is a uuid5 in this namespace
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "opoi")


def canonical_json(value: Any) -> str:
    """`value` as RFC 8785 JSON. Raises `rfc8785.CanonicalizationError` on what JSON cannot carry."""
    return rfc8785.dumps(value).decode()


def canonical(text: str) -> str:
    """JSON text in its RFC 8785 form. Raises ValueError where it is not JSON."""
    return canonical_json(json.loads(text))


def json_value(text: str) -> Any:
    """The value of JSON text. Raises ValueError on no JSON, nesting too deep, or no RFC 8785 form."""
    try:
        value = json.loads(text)
        canonical_json(value)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return value


def json_object(text: str) -> dict[str, Any]:
    """The object in JSON text. Raises ValueError as `json_value`, and on any other value."""
    value = json_value(text)
    if not isinstance(value, dict):
        raise ValueError(f"it must be an object, not {text[:64]}")
    return value


def sha256(content: bytes | str) -> str:
    """Hexadecimal sha256 of bytes, or of a text's UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def content_hash(value: Any) -> str:
    """Hexadecimal sha256 over the canonical JSON of `value`."""
    return sha256(canonical_json(value))


def deterministic_id(*identity: str | int) -> str:
    """uuid5 of an identity's parts, in order; the same parts give the same id everywhere."""
    return str(uuid.uuid5(_NAMESPACE, canonical_json(list(identity))))


def decision_key(agent: str, decision_id: str) -> str:
    """Message key of all records about one decision."""
    return f"{agent}/{decision_id}"


def request_hash(tool: str, arguments: dict[str, Any]) -> str:
    """Hash of a tool request in canonical form."""
    return content_hash({"tool": tool, "arguments": arguments})
