"""Any record of a topic, derived from its Avro schema, so that a new field is covered by itself."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas.catalog import plain_schema
from schemas.codec import record_type
from schemas.record import Record

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    # NaN equals nothing, itself included
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=20),
    "string": st.text(max_size=20),
}
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))


@cache
def records(record: str) -> st.SearchStrategy[Record]:
    """Valid records of one kind."""
    fields = _strategy(plain_schema(record), {})
    return fields.map(record_type(record).model_validate)


def _strategy(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, str):
        return named[schema] if schema in named else _PRIMITIVES[schema]
    if isinstance(schema, list):
        return st.one_of([_strategy(branch, named) for branch in schema])
    if schema.get("logicalType") == "timestamp-millis":
        return _TIMES
    if schema["type"] == "array":
        return st.lists(_strategy(schema["items"], named), max_size=2)
    if schema["type"] == "map":
        return st.dictionaries(_PRIMITIVES["string"], _strategy(schema["values"], named), max_size=2)
    if schema["type"] == "enum":
        named[schema["name"]] = st.sampled_from(schema["symbols"])
        return named[schema["name"]]
    assert schema["type"] == "record", schema["type"]
    fields = {field["name"]: _strategy(field["type"], named) for field in schema["fields"]}
    named[schema["name"]] = st.fixed_dictionaries(fields)
    return named[schema["name"]]
