"""What the client package shares with the pipeline is what the pipeline has now."""

import json
import tomllib
from typing import Any

import pytest

from agent.spec import AgentSpec
from agent.tool_spec import ToolSpec
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json, request_hash, sha256
from tests.contract.client_files import ROOT, SCHEMA, VECTORS, schema_file, vectors

STALE = "run `make generate`"
KNOWN: list[dict[str, Any]] = json.loads(VECTORS.read_text())


def spec_with(vector: dict[str, Any]) -> AgentSpec:
    """An agent whose only tool is the vector's."""
    return AgentSpec.of(
        {
            "name": "a",
            "version": "1",
            "actions": {},
            "segment": "-",
            "tools": {vector["tool"]: vector["tool_spec"]},
        }
    )


def test_the_files_are_those_of_this_version() -> None:
    assert SCHEMA.read_text() == schema_file(), STALE
    assert VECTORS.read_text() == vectors(), STALE


def test_the_client_has_the_pipelines_version() -> None:
    files = (ROOT / "pyproject.toml", ROOT / "clients" / "python" / "pyproject.toml")
    ours, clients = (tomllib.loads(file.read_text())["project"]["version"] for file in files)
    assert ours == clients


@pytest.mark.parametrize("vector", [one for one in KNOWN if "sha256" in one], ids=lambda one: one["about"])
def test_every_spelling_has_the_hash_of_its_vector(vector: dict[str, Any]) -> None:
    spec, tool = spec_with(vector), vector["tool"]
    assert sha256(vector["canonical"]) == vector["sha256"]
    for spelling in vector["spellings"]:
        normal = spec.tools[tool].normalise(spelling)
        assert canonical_json({"tool": tool, "arguments": normal}) == vector["canonical"]
        assert canonical_request_hash(spec, tool, spelling) == vector["sha256"]


@pytest.mark.parametrize("vector", [one for one in KNOWN if "refused" in one], ids=lambda one: one["about"])
def test_what_has_no_canonical_form_is_refused(vector: dict[str, Any]) -> None:
    for spelling in vector["refused"]:
        normal = ToolSpec.model_validate(vector["tool_spec"]).normalise(spelling)
        with pytest.raises(ValueError, match=r"domain|UTF|surrogate"):
            request_hash(vector["tool"], normal)


def test_no_two_vectors_are_the_same_request() -> None:
    hashes = [one["sha256"] for one in KNOWN if "sha256" in one]
    assert len(set(hashes)) == len(hashes) >= 20
