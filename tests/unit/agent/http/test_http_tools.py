"""The tools endpoint: one token a run, the same call the same answer, bounded, over when the run is."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.as_of import AsOfToolBox, as_of_steps
from agent.http.exchange import MOST_BYTES
from agent.http.tools_endpoint import CALLS_PER_TURN, Session, SpecTools, ToolsEndpoint
from agent.media_buyer.definition import media_buyer
from agent.run import Limits
from schemas.records import AgentDecision
from tests.unit.agent.conftest import CAMPAIGN

NOW = datetime(2026, 3, 10, 13, tzinfo=UTC)
GET_CAMPAIGN = {"call_id": "1", "tool": "get_campaign", "arguments": {"campaign_id": CAMPAIGN}}


@pytest.fixture
def endpoint() -> Iterator[ToolsEndpoint]:
    made = ToolsEndpoint()
    yield made
    made.close()


@pytest.fixture
def session(endpoint: ToolsEndpoint, decision: AgentDecision) -> Iterator[Session]:
    agent = media_buyer()
    tools = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))
    with endpoint.session("r-1", tools, NOW, Limits(max_turns=1)) as made:
        yield made


def ask(url: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    """Status and body of one request."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_call_is_answered_as_of_the_decision(endpoint: ToolsEndpoint, session: Session) -> None:
    status, part = ask(endpoint.tools_url(session), session.token, GET_CAMPAIGN)
    assert status == 200
    assert (part["kind"], part["tool"], part["answered_by"]) == (
        "function_response",
        "get_campaign",
        "recording",
    )
    assert json.loads(part["response_json"])["name"] == "Sales"
    [seen] = session.exchanges
    assert (seen.call.tool, seen.response.request_hash) == ("get_campaign", part["request_hash"])


def test_declarations_and_the_clock_are_the_decisions(endpoint: ToolsEndpoint, session: Session) -> None:
    status, listed = ask(endpoint.tools_url(session), session.token)
    assert (status, datetime.fromisoformat(listed["now"])) == (200, NOW)
    assert [one["name"] for one in listed["declarations"]] == [
        one["name"] for one in media_buyer().declarations
    ]


def test_a_tool_that_only_a_sub_agent_is_told_of_is_answered_too(
    endpoint: ToolsEndpoint, decision: AgentDecision
) -> None:
    spec = media_buyer().spec
    tools = SpecTools(AsOfToolBox(spec, (), as_of_steps(spec, decision)), spec)
    with endpoint.session("r-1", tools, NOW, Limits()) as session:
        _, part = ask(endpoint.tools_url(session), session.token, GET_CAMPAIGN)
    assert part["answered_by"] == "recording"


def test_writes_are_simulated_and_kept(endpoint: ToolsEndpoint, session: Session) -> None:
    arguments = {"campaign_id": CAMPAIGN, "daily_budget": 100}
    write = {"call_id": "w", "tool": "set_daily_budget", "arguments": arguments}
    _, part = ask(endpoint.tools_url(session), session.token, write)
    assert (part["answered_by"], part["effect"]) == ("simulated", "write")
    ask(endpoint.tools_url(session), session.token, write)
    assert len(session.tools.intended_writes) == 1, "a repeated call is one write"


@pytest.mark.parametrize("token", [None, "", "wrong", "ü"])
def test_only_the_runs_own_token_opens_it(
    endpoint: ToolsEndpoint, session: Session, token: str | None
) -> None:
    url = endpoint.tools_url(session)
    quoted = token.encode().decode("latin-1") if token else token
    for each in (url, url.replace("r-1", "r-2")):
        status, problem = ask(each, quoted, GET_CAMPAIGN)
        assert (status, problem["code"]) == (401, "unauthorized")
    assert session.exchanges == ()


def test_a_token_of_another_run_does_not_open_it(
    endpoint: ToolsEndpoint, session: Session, decision: AgentDecision
) -> None:
    with endpoint.session("r-2", session.tools, NOW, Limits()) as other:
        assert ask(endpoint.tools_url(session), other.token, GET_CAMPAIGN)[0] == 401
        assert ask(endpoint.tools_url(other), other.token, GET_CAMPAIGN)[0] == 200


def test_a_token_is_good_for_nothing_once_the_run_has_ended(
    endpoint: ToolsEndpoint, decision: AgentDecision
) -> None:
    agent = media_buyer()
    tools = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))
    with endpoint.session("r-1", tools, NOW, Limits()) as session:
        url = endpoint.tools_url(session)
        assert ask(url, session.token, GET_CAMPAIGN)[0] == 200
    assert ask(url, session.token, {**GET_CAMPAIGN, "call_id": "2"})[0] == 401
    assert len(session.exchanges) == 1


def test_a_call_id_belongs_to_one_call(endpoint: ToolsEndpoint, session: Session) -> None:
    url = endpoint.tools_url(session)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(url, session.token, GET_CAMPAIGN), range(16)))
    assert len({json.dumps(one, sort_keys=True) for one in answers}) == 1
    assert len(session.exchanges) == 1
    other = {**GET_CAMPAIGN, "arguments": {"campaign_id": "2"}}
    assert ask(url, session.token, other) == (
        409,
        {"code": "call_conflict", "message": "call '1' was made with another request"},
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid"),
        ({"tool": "get_campaign"}, 400, "invalid"),
        ({**GET_CAMPAIGN, "call_id": "../x"}, 400, "invalid"),
        ({**GET_CAMPAIGN, "arguments": {"campaign_id": 1e400}}, 400, "invalid"),
        (b" " * (MOST_BYTES + 1), 413, "too_large"),
    ],
)
def test_what_breaks_the_contract_is_refused(
    endpoint: ToolsEndpoint, session: Session, body: Any, status: int, code: str
) -> None:
    found, problem = ask(endpoint.tools_url(session), session.token, body)
    assert (found, problem["code"]) == (status, code)


def test_a_run_has_so_many_calls_and_no_more(endpoint: ToolsEndpoint, session: Session) -> None:
    url = endpoint.tools_url(session)
    for number in range(CALLS_PER_TURN):
        assert ask(url, session.token, {**GET_CAMPAIGN, "call_id": f"c{number}"})[0] == 200
    assert ask(url, session.token, {**GET_CAMPAIGN, "call_id": "more"})[0] == 429


def test_unknown_tools_and_misses_are_answers(endpoint: ToolsEndpoint, session: Session) -> None:
    url = endpoint.tools_url(session)
    _, unknown = ask(url, session.token, {"call_id": "1", "tool": "rocket"})
    assert unknown["answered_by"] == "error"
    assert "there is no tool 'rocket'" in unknown["error"]
    _, miss = ask(
        url, session.token, {"call_id": "2", "tool": "get_campaign", "arguments": {"campaign_id": "9"}}
    )
    assert (miss["answered_by"], miss["response_json"]) == ("miss", None)


def test_it_listens_on_loopback_only(endpoint: ToolsEndpoint, session: Session) -> None:
    assert endpoint.tools_url(session).startswith("http://127.0.0.1:")


def test_agents_may_reach_it_under_another_name(decision: AgentDecision) -> None:
    endpoint = ToolsEndpoint(url="https://tools.example/opoi")
    agent = media_buyer()
    try:
        with endpoint.session("r-1", AsOfToolBox(agent.spec, agent.declarations, ()), NOW, Limits()) as made:
            assert endpoint.tools_url(made) == "https://tools.example/opoi/v1/sessions/r-1/tools"
    finally:
        endpoint.close()
