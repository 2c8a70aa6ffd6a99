"""The one form in which JSON is compared, and the hash of a tool request in it.

The form is RFC 8785 (https://www.rfc-editor.org/rfc/rfc8785). The pipeline hashes the same way: both sides
pass the vectors in `schemas/examples/request-hashes.json`.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

_LARGEST_INTEGER = 2**53 - 1
# from here on ECMAScript writes a number with an exponent (ECMA-262, Number::toString)
_MOST_PLACES = 21
_MOST_ZEROS = 6


class NotCanonical(ValueError):
    """A value that JSON cannot carry without loss; the text says which."""


def canonical_json(value: Any) -> str:
    """`value` as RFC 8785 JSON. Raises NotCanonical."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise NotCanonical(
                f"{value} is beyond {_LARGEST_INTEGER}, the largest integer of JSON: pass a text"
            )
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(canonical_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(_members(value))}}}"
    raise NotCanonical(f"a {type(value).__name__} is nothing that JSON can carry: {value!r:.80}")


def sha256(content: bytes | str) -> str:
    """Hexadecimal sha256 of bytes, or of a text's UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def normalised(arguments: Mapping[str, Any], sets: Collection[str] = ()) -> dict[str, Any]:
    """The arguments as they are hashed: nothing that is null; a set sorted, nothing twice, texts first.

    `sets` are the arguments whose order and repetition mean nothing, by the AgentSpec. Raises NotCanonical.
    """
    normal = {name: value for name, value in arguments.items() if value is not None}
    for name in sets:
        if isinstance(normal.get(name), list | tuple):
            normal[name] = _sorted_once(normal[name])
    return normal


def _sorted_once(items: Sequence[Any]) -> list[Any]:
    """Texts by code point, then what is no text by its canonical form."""
    others = {canonical_json(item): item for item in items if not isinstance(item, str)}
    return [
        *sorted({item for item in items if isinstance(item, str)}),
        *(others[key] for key in sorted(others)),
    ]


def canonical_request(tool: str, arguments: Mapping[str, Any], sets: Collection[str] = ()) -> str:
    """The text that stands for a tool request. Raises NotCanonical."""
    return canonical_json({"tool": tool, "arguments": normalised(arguments, sets)})


def request_hash(tool: str, arguments: Mapping[str, Any], sets: Collection[str] = ()) -> str:
    """Hexadecimal sha256 of the canonical request. Raises NotCanonical."""
    return sha256(canonical_request(tool, arguments, sets))


def _members(value: dict[Any, Any]) -> list[str]:
    unfit = [name for name in value if not isinstance(name, str)]
    if unfit:
        raise NotCanonical(f"the names in an object are texts, not {unfit[0]!r}")
    # names are ordered by their UTF-16 code units
    ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
    return [f"{_text(name)}:{canonical_json(part)}" for name, part in ordered]


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotCanonical(f"a text holds half a surrogate pair at {error.start}: {value!r:.80}") from error
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A number as ECMAScript writes it."""
    if not math.isfinite(value):
        raise NotCanonical(f"{value} is no number of JSON")
    if value == 0:
        return "0"
    # Python's repr has the same shortest digits, but another layout
    parts = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(parts.exponent, int)
    sign, digits = "-" * parts.sign, "".join(map(str, parts.digits))
    point = len(digits) + parts.exponent
    if len(digits) <= point <= _MOST_PLACES:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    if 0 < point <= _MOST_PLACES:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -_MOST_ZEROS < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"
