"""An incompatible schema is refused, and the words name the field."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from schemas.catalog import plain_schema
from schemas.compat import incompatibilities

Schema = dict[str, Any]


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(field for field in schema["fields"] if field["name"] == name)
    return found


def add_field(schema: Schema) -> None:
    schema["fields"].append({"name": "priority", "type": "string"})


def add_field_below_a_union(schema: Schema) -> None:
    field(schema, "verdict")["type"][1]["fields"].append({"name": "score", "type": "int"})


def add_field_in_an_array(schema: Schema) -> None:
    field(schema, "caused_by")["type"]["items"]["fields"].append({"name": "topic_id", "type": "string"})


def drop_null(schema: Schema) -> None:
    field(schema, "verdict_id")["type"] = "string"


def change_type_in_a_union(schema: Schema) -> None:
    field(schema, "revision")["type"] = ["null", "string"]


def change_type(schema: Schema) -> None:
    field(schema, "agent")["type"] = "long"


def drop_symbol(schema: Schema) -> None:
    field(schema, "status")["type"]["symbols"].remove("conflict")


def rename_record(schema: Schema) -> None:
    schema["name"] = "opoi.Joined"


def rename_field(schema: Schema) -> None:
    field(schema, "status")["name"] = "state"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add_field, "field priority: new and without a default"),
        (add_field_below_a_union, "field verdict.score: new and without a default"),
        (add_field_in_an_array, "field caused_by[].topic_id: new and without a default"),
        (drop_null, "field verdict_id: was also null, is now string only"),
        (change_type_in_a_union, "field revision: was also int, is now null or string only"),
        (change_type, "field agent: was string, is now long"),
        (drop_symbol, "field status: lacks the symbols conflict of ReviewStatus"),
        (rename_record, "the record: was opoi.Review, is now opoi.Joined"),
        (rename_field, "field state: new and without a default"),
    ],
)
def test_what_breaks_readers_is_named(change: Callable[[Schema], None], said: str) -> None:
    old = plain_schema("Review")
    new = deepcopy(old)
    change(new)

    assert incompatibilities(new, old) == [said]


def add_field_with_default(schema: Schema) -> None:
    schema["fields"].append({"name": "priority", "type": ["null", "string"], "default": None})


def drop_field(schema: Schema) -> None:
    schema["fields"].remove(field(schema, "split"))


def add_symbol(schema: Schema) -> None:
    field(schema, "status")["type"]["symbols"].append("withdrawn")


def widen(schema: Schema) -> None:
    field(schema, "revision")["type"] = ["null", "long"]


def make_nullable(schema: Schema) -> None:
    field(schema, "agent")["type"] = ["null", "string"]


@pytest.mark.parametrize("change", [add_field_with_default, drop_field, add_symbol, widen, make_nullable])
def test_what_readers_can_bear_is_compatible(change: Callable[[Schema], None]) -> None:
    old = plain_schema("Review")
    new = deepcopy(old)
    change(new)

    assert incompatibilities(new, old) == []
