"""Checks that a writer's schema is safe to decode with, and limits the values in one body.

Fastavro trusts a schema: recursive types overflow the C stack, a few bytes can announce billions of items of
no bytes, types that contain each other twice double with each level, and a record of a thousand fields of no
bytes makes a thousand values of each byte. So this module computes how many values one read of the body can
become, each named type once, and counts the reads of a body.
"""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import fastavro
import fastavro.schema

from schemas.cleaned_schema import MOST_DEPTH, PRIMITIVES, UnsafeSchema, cleaned, not_avro

MOST_VALUES = 2_000_000
"""Values of one body; in the worst case they take a gigabyte of memory."""
_RATES = (2, 4, 8, 16)
"""Classes of schemas: values that one read of the body can become. Our own schemas are in the first."""
_MOST_OF_NOTHING = 10_000
"""Values of no bytes in one body."""

# what fastavro raises on schemas that break Avro's rules
_PARSE_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    fastavro.schema.SchemaParseException,
)


class TooManyValues(Exception):
    """A body holds more values than allowed."""


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema that is safe to decode with."""

    schema: Any
    """Parsed by fastavro."""
    most_reads: int
    """Reads that fastavro may make of one body."""

    def source(self, body: bytes) -> BinaryIO:
        """The body as the stream that fastavro reads; its `read` raises TooManyValues."""
        # at most two reads a byte: of an empty string, its length and its text
        return io.BytesIO(body) if 2 * len(body) <= self.most_reads else _Counted(body, self.most_reads)


class _Counted(io.BytesIO):
    def __init__(self, body: bytes, most_reads: int) -> None:
        super().__init__(body)
        self._left = most_reads

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise TooManyValues
        return super().read(size)


def writer_schema(schema: Any, reader: Any = None) -> WriterSchema:
    """Prepares the JSON value of a foreign schema for decoding. Raises UnsafeSchema.

    `reader`: the parsed schema that it is resolved to; its defaults count as values.
    """
    try:
        parsed = fastavro.parse_schema(cleaned(schema), named_schemas={})
    except UnsafeSchema:
        raise
    except _PARSE_FAULTS as error:
        raise not_avro(f"{type(error).__name__}: {str(error)[:200]}") from error
    return WriterSchema(parsed, MOST_VALUES // _rate(parsed, reader))


def unsafe(schema: Any) -> str | None:
    """Why a schema parsed by fastavro must not be used for decoding, in one line; None where it may."""
    try:
        _rate(schema, None)
    except UnsafeSchema as fault:
        return str(fault)
    return None


def _rate(schema: Any, reader: Any) -> int:
    """Values that one read can become, rounded up to one of the rates. Raises UnsafeSchema."""
    cost = _Costs(dict(_records(reader))).of(schema)
    for rate, surplus in zip(_RATES, cost.surplus, strict=True):
        if surplus <= _MOST_OF_NOTHING:
            return rate
    raise UnsafeSchema(f"a value of it can hold more than {_MOST_OF_NOTHING} values of no bytes")


@dataclass(frozen=True, slots=True)
class _Cost:
    """The most that one value of a type can cost."""

    depth: int
    is_empty: bool
    """Whether it can take no bytes."""
    surplus: tuple[float, ...]
    """For each rate: values in it beyond those that its own reads pay for."""


_NULL = _Cost(1, True, tuple(1.0 for _ in _RATES))
_ATOM = _Cost(1, False, tuple(1.0 - rate for rate in _RATES))


class _Costs:
    """The costs of types. `ours`: the number of fields of each record in the reader's schema."""

    def __init__(self, ours: dict[str, int]) -> None:
        self._ours = ours
        self._known: dict[str, _Cost] = {}
        self._within: list[str] = []

    def of(self, schema: Any) -> _Cost:
        """The cost of a type. Raises UnsafeSchema where nothing bounds it."""
        cost = self._measured(schema)
        if cost.depth > MOST_DEPTH:
            raise UnsafeSchema(f"it is nested more than {MOST_DEPTH} deep")
        return cost

    def _measured(self, schema: Any) -> _Cost:
        if isinstance(schema, str):
            if schema in self._within:
                raise UnsafeSchema(f"{schema} holds itself")
            # fastavro reads a primitive's name as the primitive, even where a named type has it
            if schema in PRIMITIVES:
                return _NULL if schema == "null" else _ATOM
            return self._known.get(schema, _ATOM)
        if isinstance(schema, list):
            branches = [self.of(branch) for branch in schema]
            largest = (max(each, default=0.0) for each in _by_rate(branches))
            # the index of the branch takes a read
            return _Cost(1 + _deepest(branches), False, _less_a_read(largest))
        if schema["type"] in ("array", "map"):
            return self._of_items(schema)
        if "name" not in schema:
            return _NULL if schema["type"] == "null" else _ATOM
        self._within.append(schema["name"])
        cost = self._of_named(schema)
        self._within.pop()
        self._known[schema["name"]] = cost
        return cost

    def _of_named(self, schema: dict[str, Any]) -> _Cost:
        if schema["type"] == "enum":
            return _ATOM
        if schema["type"] == "fixed":
            return _NULL if schema["size"] == 0 else _ATOM
        fields = [self.of(field["type"]) for field in schema["fields"]]
        # fields that the writer lacks come from the reader's defaults
        by_default = max(0, self._ours.get(_unqualified(schema), 0) - len(fields))
        surplus = tuple(1.0 + by_default + sum(each) for each in _by_rate(fields))
        return _Cost(1 + _deepest(fields), all(field.is_empty for field in fields), surplus)

    def _of_items(self, schema: dict[str, Any]) -> _Cost:
        is_map = schema["type"] == "map"
        item = self.of(schema["values"] if is_map else schema["items"])
        where = f"{'a map' if is_map else 'an array'} in {self._within[-1] if self._within else 'it'}"
        if item.is_empty and not is_map:
            raise UnsafeSchema(f"{where} has items of no bytes")
        # a map's key is one more value and one more read
        each = _less_a_read(surplus + 1.0 for surplus in item.surplus) if is_map else item.surplus
        if each[-1] > 0:
            raise UnsafeSchema(f"{where} has items of more than {_RATES[-1]} values a byte")
        # the number of items has no limit, so each item's own reads must pay for it
        surplus = (math.inf if one > 0 else 1.0 for one in each)
        return _Cost(1 + item.depth, False, _less_a_read(surplus))


def _by_rate(costs: list[_Cost]) -> Iterator[list[float]]:
    for at in range(len(_RATES)):
        yield [cost.surplus[at] for cost in costs]


def _less_a_read(surplus: Iterable[float]) -> tuple[float, ...]:
    return tuple(one - rate for one, rate in zip(surplus, _RATES, strict=True))


def _deepest(costs: list[_Cost]) -> int:
    return max((cost.depth for cost in costs), default=0)


def _unqualified(schema: dict[str, Any]) -> str:
    """The name by which fastavro matches a writer's record with a reader's."""
    return str(schema["name"]).rpartition(".")[2]


def _records(schema: Any) -> Iterator[tuple[str, int]]:
    """Name and number of fields of each record in a parsed schema of ours."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _records(branch)
    elif isinstance(schema, dict):
        yield from _records(schema.get("items"))
        yield from _records(schema.get("values"))
        if "fields" in schema:
            yield _unqualified(schema), len(schema["fields"])
            for field in schema["fields"]:
                yield from _records(field["type"])
