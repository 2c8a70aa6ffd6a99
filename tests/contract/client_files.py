"""What `clients/python` shares with the pipeline: the schema of a decision, and hashes of tool requests.

`make generate` writes both; tests hold both sides to them.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.tool_spec import ToolSpec
from schemas.catalog import EXAMPLES, plain_schema
from schemas.identity import canonical_json, request_hash
from scripts.generated import write_or_check

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "clients" / "python" / "opoi_client" / "AgentDecision.avsc"
VECTORS = EXAMPLES / "request-hashes.json"

INSIGHTS = {
    "effect": "read",
    "entity": "entity_id",
    "sets": ["fields", "breakdowns"],
    "dates": {
        "argument": "date_preset",
        "range": "time_range",
        "days": {"yesterday": [1, 1], "last_7d": [7, 1]},
    },
}
PLAIN = {"effect": "read"}
WRITE = {"effect": "write", "simulated": {"success": True}}


@dataclass(frozen=True)
class Case:
    """Requests that are the same one (`spellings`), or that have no canonical form (`refused`)."""

    about: str
    tool: str
    spec: Mapping[str, Any]
    spellings: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[Mapping[str, Any]] = ()


CASES = (
    Case("No arguments.", "list_accounts", PLAIN, [{}]),
    Case(
        "The order of names means nothing.",
        "get_order",
        PLAIN,
        [{"order_id": "O1", "shop": "north"}, {"shop": "north", "order_id": "O1"}],
    ),
    Case(
        "Null is the same as absent, at the first level.",
        "get_order",
        PLAIN,
        [{"order_id": "O1"}, {"order_id": "O1", "shop": None}, {"shop": None, "order_id": "O1", "day": None}],
    ),
    Case("Null further in is a value.", "find", PLAIN, [{"filter": {"state": None}}]),
    Case("A default that is spelled out is an argument.", "find", PLAIN, [{"limit": 25}]),
    Case("Neither an empty list, nor an empty object, nor an empty text is absent.", "find", PLAIN,
         [{"ids": [], "filter": {}, "text": ""}]),
    Case(
        "Order and repetition in a set mean nothing.",
        "get_insights",
        INSIGHTS,
        [
            {"entity_id": "7", "fields": ["clicks", "spend"], "breakdowns": ["age", "gender"]},
            {"entity_id": "7", "fields": ["spend", "clicks", "spend"], "breakdowns": ["gender", "age"]},
            {"breakdowns": ["gender", "age", "gender"], "fields": ["spend", "clicks"], "entity_id": "7"},
        ],
    ),
    Case(
        "What is no text comes after the texts in a set, by its canonical form.",
        "get_insights",
        INSIGHTS,
        [
            {"fields": [10, "spend", 7, None, {"b": 1, "a": 2}]},
            {"fields": [{"a": 2, "b": 1.0}, None, 7.0, "spend", 7, 10]},
        ],
    ),
    Case("A set that is no list stands as it is.", "get_insights", INSIGHTS, [{"fields": "spend"}]),
    Case("An empty set is not absent.", "get_insights", INSIGHTS, [{"fields": []}]),
    Case(
        "Texts in a set are ordered by code point.",
        "get_insights",
        INSIGHTS,
        [{"fields": ["b", "a", "B", "ä", "\U0001f600", "\ufb01", "a b", "a!"]}],
    ),
    Case("Order in any other list counts.", "find", PLAIN, [{"ids": ["2", "1", "2"]}]),
    Case(
        "A number is hashed by its value.",
        "set_budget",
        WRITE,
        [{"amount_minor": 1500}, {"amount_minor": 1500.0}, {"amount_minor": 1.5e3}],
    ),
    Case("A text of digits is no number.", "set_budget", WRITE, [{"amount_minor": "1500"}]),
    Case("True is not 1.", "find", PLAIN, [{"archived": True, "active": False, "one": 1}]),
    Case("Zero has no sign.", "find", PLAIN, [{"least": 0}, {"least": 0.0}, {"least": -0.0}]),
    Case(
        "Fractions have the fewest digits that tell them apart.",
        "find",
        PLAIN,
        [{"values": [0.1, 0.30000000000000004, 1 / 3, -2.5, 123456.789, 1e-6, 0.000001234]}],
    ),
    Case(
        "Very large and very small numbers have an exponent.",
        "find",
        PLAIN,
        [{"values": [1e21, 1.5e300, 1e-7, 1.234e-10, 5e-324, 1.7976931348623157e308, -1e22]}],
    ),
    Case(
        "Large numbers below 1e21 have none.",
        "find",
        PLAIN,
        [{"values": [1e20, 123456789012345680000.0, 9007199254740991, -9007199254740991]}],
    ),
    Case(
        "Nested objects are ordered at every level.",
        "find",
        PLAIN,
        [
            {"filter": {"b": [{"y": 1, "x": 2}], "a": {"d": 1.0, "c": [True, None]}}},
            {"filter": {"a": {"c": [True, None], "d": 1}, "b": [{"x": 2, "y": 1}]}},
        ],
    ),
    Case(
        "Names are ordered by UTF-16 code units.",
        "find",
        PLAIN,
        [{"filter": {"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\u00f6": 4, "\u0080": 5, "1": 6, "": 7}}],
    ),
    Case("Unicode stands as it is, and is not composed.", "find", PLAIN,
         [{"text": "Größe, \u0041\u030a, 日本, \U0001f600, \u2028"}]),
    Case("Only what JSON must escape is escaped.", "find", PLAIN,
         [{"text": "\" \\ / \b \f \n \r \t \u0000 \u001f \u007f <&>"}]),
    Case("A preset is hashed by its name: the days that it means follow from the time of the decision.",
         "get_insights", INSIGHTS, [{"entity_id": "7", "date_preset": "yesterday"}]),
    Case(
        "Named days are another request than the preset that means them, such as yesterday for a decision of "
        "2026-03-09T23:30:00Z in Europe/Berlin, where 10 March has begun.",
        "get_insights",
        INSIGHTS,
        [
            {"entity_id": "7", "time_range": {"since": "2026-03-09", "until": "2026-03-09"}},
            {
                "time_range": {"until": "2026-03-09", "since": "2026-03-09"},
                "entity_id": "7",
                "date_preset": None,
            },
        ],
    ),
    Case("A date is hashed as it is written.", "find", PLAIN,
         [{"day": "2026-03-09", "at": "2026-03-09T23:30:00+01:00"}]),
    Case("The tool is part of the request.", "other_tool", PLAIN, [{"order_id": "O1", "shop": "north"}]),
    Case("Integers that a double cannot hold are refused.", "find", PLAIN,
         refused=[{"id": 9007199254740992}, {"id": -9007199254740992}]),
    Case("Half of a surrogate pair is refused.", "find", PLAIN,
         refused=[{"text": "\ud800"}, {"filter": {"\udc00": 1}}]),
)  # fmt: skip


def vectors() -> str:
    """The file of vectors, as it should be."""
    found = []
    for case in CASES:
        spec = ToolSpec.model_validate(case.spec)
        vector: dict[str, Any] = {"about": case.about, "tool": case.tool, "tool_spec": case.spec}
        if case.refused:
            vector["refused"] = case.refused
        else:
            normal = spec.normalise(case.spellings[0])
            vector["spellings"] = case.spellings
            vector["canonical"] = canonical_json({"tool": case.tool, "arguments": normal})
            vector["sha256"] = request_hash(case.tool, normal)
        found.append(vector)
    # escaped, since half of a surrogate pair cannot stand in a file
    return json.dumps(found, indent=2) + "\n"


def schema_file() -> str:
    """The schema of a decision, whole in itself, as it is registered."""
    return json.dumps(plain_schema("AgentDecision"), indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Writes both files, or with `--check` only compares. Exit code 3 where one is stale."""
    return write_or_check({VECTORS: vectors(), SCHEMA: schema_file()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
