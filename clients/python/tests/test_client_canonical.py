"""The client hashes tool requests as the pipeline does: both pass the same vectors."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from opoi_client.canonical import NotCanonical, canonical_json, canonical_request, request_hash

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "schemas" / "examples" / "request-hashes.json").read_text()
)


def test_there_are_vectors() -> None:
    assert sum("sha256" in one for one in VECTORS) >= 20
    assert any("refused" in one for one in VECTORS)


@pytest.mark.parametrize("vector", [one for one in VECTORS if "sha256" in one], ids=lambda one: one["about"])
def test_every_spelling_has_the_hash_of_its_vector(vector: dict[str, Any]) -> None:
    sets = vector["tool_spec"].get("sets", ())
    for spelling in vector["spellings"]:
        assert canonical_request(vector["tool"], spelling, sets) == vector["canonical"]
        assert request_hash(vector["tool"], spelling, sets) == vector["sha256"]


@pytest.mark.parametrize("vector", [one for one in VECTORS if "refused" in one], ids=lambda one: one["about"])
def test_what_has_no_canonical_form_is_refused(vector: dict[str, Any]) -> None:
    for spelling in vector["refused"]:
        with pytest.raises(NotCanonical):
            request_hash(vector["tool"], spelling)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "nan is no number of JSON"),
        (math.inf, "inf is no number of JSON"),
        ({1: 2}, "the names in an object are texts, not 1"),
        ({"a": {1, 2}}, "a set is nothing that JSON can carry"),
        (2**53, "9007199254740992 is beyond 9007199254740991"),
    ],
)
def test_what_json_cannot_carry_is_told(value: object, said: str) -> None:
    with pytest.raises(NotCanonical, match=said):
        canonical_json(value)
