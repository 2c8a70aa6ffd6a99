"""Avro types as ClickHouse columns.

| Avro | ClickHouse |
|---|---|
| record | its fields, `outer_inner`; Nullable where the record may be null |
| array of records | `Array(Tuple(...))`, the fields flattened by the same rule |
| array, map | `Array(T)`, `Map(String, T)`; null becomes empty, since neither can be Nullable |
| enum | `LowCardinality(String)`, so that a new symbol needs no migration |
| timestamp-millis | `DateTime64(3, 'UTC')` |
| bytes | `String` |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.catalog import plain_schema
from schemas.errors import CatalogError

Shape = Literal["scalar", "list", "tuples", "map"]

# strings of few distinct values; a dictionary makes them small and fast to group by
_FEW_VALUES = frozenset(
    {
        "account_time_zone",
        "agent",
        "agent_version",
        "arm",
        "attribution_setting",
        "base_model",
        "cost_currency",
        "currency",
        "expert",
        "failed_gate",
        "finish_reason",
        "gate",
        "gate_set",
        "gate_version",
        "kind",
        "media_type",
        "method",
        "model",
        "name",
        "prompt_id",
        "reason_code",
        "rule_tag",
        "segment",
        "spec_id",
        "stage",
        "stop_reason",
        "tool",
        "toolset_id",
        "topic",
        "tuned_model",
    }
)
_PRIMITIVES = {
    "string": "String",
    "bytes": "String",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "boolean": "Bool",
}
TIME = "DateTime64(3, 'UTC')"
# on metrics in JSON and prose 56% of the size of LZ4, the default; level 3: 52%, and a third slower to write
BODY = "ZSTD(1)"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and where its value is in the record.

    `path` leads from the record (from the array's item, for a column inside a tuple) to the value;
    `elements` are the columns of the tuples where `shape` is `tuples`.
    """

    name: str
    type: str
    comment: str
    path: tuple[str, ...] = ()
    shape: Shape = "scalar"
    elements: tuple["Column", ...] = ()
    codec: str = ""
    default: str = ""

    @property
    def nullable(self) -> bool:
        """Whether the column can hold NULL."""
        return self.type.startswith(("Nullable(", "LowCardinality(Nullable("))


def columns_of(record: str) -> tuple[Column, ...]:
    """The columns of an Avro record, in its order. Raises CatalogError where two get one name."""
    schema = plain_schema(record)
    columns = tuple(_fields(schema, _named(schema)))
    names = [column.name for column in columns]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise CatalogError(f"{record}: flattened, two fields are called {', '.join(sorted(twice))}")
    return columns


def _named(schema: Any) -> dict[str, Any]:
    """Every named type that a self-contained schema defines."""
    found: dict[str, Any] = {}

    def visit(part: Any) -> None:
        if isinstance(part, list):
            for item in part:
                visit(item)
        elif isinstance(part, dict):
            if part["type"] in ("record", "enum"):
                found[part["name"]] = part
            for name in ("type", "items", "values"):
                visit(part.get(name))
            for field in part.get("fields", ()):
                visit(field["type"])

    visit(schema)
    return found


def _fields(
    schema: Mapping[str, Any],
    named: Mapping[str, Any],
    path: tuple[str, ...] = (),
    comment: str = "",
    nullable: bool = False,
) -> Iterator[Column]:
    for field in schema["fields"]:
        text = f"{comment.rstrip('.')}: {field['doc']}" if comment else field["doc"]
        yield from _field(field["type"], named, (*path, field["name"]), text, nullable)


def _field(
    schema: Any, named: Mapping[str, Any], path: tuple[str, ...], comment: str, nullable: bool
) -> Iterator[Column]:
    resolved, null_here = _resolve(schema, named)
    nullable = nullable or null_here
    name = "_".join(path)
    if resolved["type"] == "record":
        yield from _fields(resolved, named, path, comment, nullable)
    elif resolved["type"] == "array":
        yield _array(resolved["items"], named, name, path, comment)
    elif resolved["type"] == "map":
        inner = _scalar(*_resolve(resolved["values"], named), few=False)
        yield Column(name, f"Map(String, {inner})", comment, path, "map", codec=BODY)
    else:
        column = _scalar(resolved, nullable, few=path[-1] in _FEW_VALUES)
        body = column in ("String", "Nullable(String)")
        yield Column(name, column, comment, path, codec=BODY if body else "")


def _array(items: Any, named: Mapping[str, Any], name: str, path: tuple[str, ...], comment: str) -> Column:
    resolved, nullable = _resolve(items, named)
    if resolved["type"] != "record":
        inner = _scalar(resolved, nullable, few=False)
        return Column(name, f"Array({inner})", comment, path, "list", codec=BODY)
    elements = tuple(_fields(resolved, named, nullable=nullable))
    inner = ", ".join(f"{element.name} {element.type}" for element in elements)
    return Column(name, f"Array(Tuple({inner}))", comment, path, "tuples", elements, codec=BODY)


def _resolve(schema: Any, named: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The type behind a name or a union with null, and whether null is allowed."""
    if isinstance(schema, list):
        [inner] = [branch for branch in schema if branch != "null"]
        return _resolve(inner, named)[0], True
    if isinstance(schema, str):
        return named.get(schema) or {"type": schema}, False
    return schema, False


def _scalar(schema: Mapping[str, Any], nullable: bool, few: bool) -> str:
    if schema.get("logicalType") == "timestamp-millis":
        inner = TIME
    elif schema["type"] == "enum":
        inner, few = "String", True
    else:
        inner = _PRIMITIVES[schema["type"]]
    inner = f"Nullable({inner})" if nullable else inner
    return f"LowCardinality({inner})" if few and "String" in inner else inner
