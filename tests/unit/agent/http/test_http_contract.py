"""The contract as a document: current, whole, served; and which agent it is spoken to."""

import json
import math
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from agent.http import openapi
from agent.http.contract import OPENAPI, RUNS, RunTrace
from agent.http.remote import RemoteAgents
from agent.media_buyer.definition import media_buyer
from agent.settings import EndpointSettings, ReplaySettings
from agent.spec import AgentSpec, SpecError
from schemas.records import Part, TargetAgent, TokenLogProbability, Turn
from tests.unit.agent.http.http_kit import media_buyer_service, scripted

TARGET = TargetAgent(agent_version="1", prompt_id="p", toolset_id="t", spec_id="s", model="m")


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_checked_in_document_is_current() -> None:
    assert openapi.main(["--check"]) == 0, "run `python -m agent.http.openapi`"


def test_a_stale_document_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any) -> None:
    monkeypatch.setattr(openapi, "TARGET", tmp_path / "openapi.yaml")
    assert openapi.main(["--check"]) == 3
    assert "run `python -m agent.http.openapi`" in capsys.readouterr().err
    assert openapi.main([]) == 0
    assert openapi.main(["--check"]) == 0


def test_the_document_is_openapi_3_1_and_refers_to_nothing_that_is_not_there() -> None:
    document = yaml.safe_load(openapi.TARGET.read_text(encoding="utf-8"))
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {RUNS, f"{RUNS}/{{run_id}}", OPENAPI}
    assert set(document["webhooks"]) == {"tools", "callback"}
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document))
    assert found <= known
    assert known <= found | {"#/components/schemas/RunRequest"}, "a schema that nothing refers to"


def test_every_field_of_the_contract_is_described() -> None:
    schemas = openapi.document()["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name in (
            "RunRequest",
            "RunStatus",
            "RunTrace",
            "DecisionContext",
            "OraclePart",
            "RunBudget",
            "ToolRequest",
        )
        for field, schema in schemas[name]["properties"].items()
        if "description" not in schema
    ]
    assert not bare


def test_the_reference_implementation_serves_it() -> None:
    with media_buyer_service(scripted()) as url, urllib.request.urlopen(url + OPENAPI, timeout=60) as answer:
        assert json.loads(answer.read()) == json.loads(json.dumps(openapi.document()))


def test_bytes_and_infinities_come_back_from_json() -> None:
    part = Part(kind="text", text="é", signature=b"\xff\x00")
    token = TokenLogProbability(token="a", log_probability=-math.inf)
    turn = Turn(role="model", parts=(part,), log_probabilities=(token,))
    trace = RunTrace(run_id="r", decision_id="d", status="completed", turns=(turn,))
    assert RunTrace.model_validate_json(trace.model_dump_json()) == trace


def spec_at(endpoint: str | None) -> AgentSpec:
    return AgentSpec.model_validate(media_buyer().spec.model_dump() | {"endpoint": endpoint})


def test_an_endpoint_is_part_of_the_spec_and_its_absence_changes_no_hash() -> None:
    spec = media_buyer().spec
    assert b"endpoint" not in spec.content()
    assert spec_at(None).spec_id == spec.spec_id
    assert spec_at("http://agent:1").spec_id != spec.spec_id
    with pytest.raises(SpecError, match="must be a URL"):
        AgentSpec.parse(json.dumps(media_buyer().spec.model_dump(mode="json") | {"endpoint": "agent:1"}))


def test_the_request_goes_before_the_setting_and_that_before_the_spec() -> None:
    name = media_buyer().spec.name
    settings = ReplaySettings(endpoints={name: EndpointSettings(url="http://setting:1")})
    with_setting, without = RemoteAgents(settings), RemoteAgents(ReplaySettings())
    asked = TARGET.model_copy(update={"endpoint": "http://request:1"})
    spec = spec_at("http://spec:1")
    assert with_setting.endpoint(asked, spec) == "http://request:1"
    assert with_setting.endpoint(TARGET, spec) == "http://setting:1"
    assert without.endpoint(TARGET, spec) == "http://spec:1"
    assert without.endpoint(TARGET, spec_at(None)) is None
