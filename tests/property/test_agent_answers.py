"""Whatever an agent over HTTP answers, its run ends in a record that its topic carries, or is tried again."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http.bounded_http import Answer
from agent.http.bounds import ByteBudget
from agent.http.client import AgentAway, AgentClient
from agent.http.remote import RemoteAgents
from agent.media_buyer.definition import artifacts, media_buyer
from agent.ports import QuotaExceeded
from agent.replay import execute
from agent.settings import ReplaySettings
from schemas.records import AgentTrace, Budget, Spending
from streams.core.budgets import spent_by, total
from testkit import builders
from tests.unit.agent.http.http_kit import Known, NoModel

AT = datetime.fromisoformat("2026-11-01T12:00:00Z")
DEFINITION = media_buyer()
IDS = {
    field: one.artifact_id
    for field, one in zip(("prompt_id", "toolset_id", "spec_id"), artifacts(DEFINITION, AT), strict=True)
}
DECISION = builders.decision(**IDS)
URL = "http://agent.example"
ORACLE = "[note 0123456789abcdef]\nExpected action: hold.\n[end of note 0123456789abcdef]"
FRAGMENTS = (
    "null", "true", "0", "-1", "1e400", "-1e400", "NaN", "-Infinity", "1" * 400, "9223372036854775808",
    "2147483648", '""', r'"\ud83d"', '"\ud83d"', r'"\u0000"', '"Infinity"', '"nan"', "2147483647",
    "9223372036854775807", '"9999-12-31T23:59:59-14:00"',
    '"0001-01-01T00:00:00+14:00"', "99999999999999", '"===="', '"{\\"a\\":1e400}"', '"[[[["', "[]", "[[]]",
    "{}",
    '{"a":1,"a":2}', "[" * 300, '"completed"', '"cancelled"', '"function_response"', '"get_campaign"', '"é"',
)  # fmt: skip
"""Values as JSON text, some of which is none."""
MARK = "\x01put here\x01"


def whole_trace() -> dict[str, Any]:
    """A trace with something in every field."""
    token = {"token": "a", "log_probability": -0.5}
    common = {"text": "t", "call_id": "c", "tool": "get_campaign", "signature": "AAAA", "is_oracle": False}
    call = common | {"kind": "function_call", "arguments_json": "{}"}
    response = common | {
        "kind": "function_response", "response_json": None, "request_hash": "h", "effect": "read",
        "fetched_at": "2026-11-01T00:00:00Z", "answered_by": "live", "error": "e",
    }  # fmt: skip
    turns = [
        {"role": "model", "parts": [call], "log_probabilities": [token], "finish_reason": "STOP"},
        {"role": "user", "parts": [response]},
    ]
    usage = {
        "input_tokens": 1, "cached_tokens": 1, "output_tokens": 1, "thought_tokens": 1, "model_calls": 1,
        "tool_calls": 1, "cost_micros": 1, "cost_currency": "USD",
    }  # fmt: skip
    return {
        "run_id": "?", "decision_id": DECISION.decision_id, "status": "completed", "reason": "r",
        "turns": [json.loads(DECISION.turns[0].model_dump_json()), *turns],
        "sub_agent_runs": [
            {"run_id": "s", "parent_id": "p", "name": "n", "prompt_id": "i", "turns": turns, "usage": usage}
        ],
        "action": {"name": "hold", "target": "c1", "arguments_json": "{}"}, "rationale": "fine",
        "usage": usage, "attempts": 1,
    }  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


PLACES = [path for path in places({"state": "ended", "trace": whole_trace()}) if path]


class Says(AgentClient):
    """An agent that answers everything with one text, in which `?` stands for the run."""

    def __init__(self, status: int, text: str, headers: dict[str, str]) -> None:
        super().__init__(URL, name="a")
        self._answer = status, text, headers
        self._run_id = ""

    def send(
        self, method: str, path: str, seconds: float, body: bytes | None = None, run: ByteBudget | None = None
    ) -> Answer:
        if body is not None:
            self._run_id = json.loads(body)["run_id"]
        status, text, headers = self._answer
        return Answer(status, text.replace("?", self._run_id).encode(errors="surrogatepass"), headers)


class Only(RemoteAgents):
    """Every agent is that one."""

    def __init__(self, agent: AgentClient) -> None:
        super().__init__(ReplaySettings())
        self._agent = agent
        self._tools = TOOLS

    def _client(self, agent: str, endpoint: str) -> AgentClient:
        return self._agent


TOOLS = RemoteAgents(ReplaySettings())._tools


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    yield
    TOOLS.close()


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, str, dict[str, str]]:
    body: Any = {"run_id": "?", "state": "ended", "trace": json.loads(json.dumps(whole_trace()))}
    changed = draw(st.lists(st.sampled_from(PLACES), max_size=3, unique=True))
    for path in sorted(changed, key=len, reverse=True):
        *way, last = path
        inside = body
        for key in way:
            inside = inside[key]
        inside[last] = MARK
    text = json.dumps(body)
    while json.dumps(MARK) in text:
        text = text.replace(json.dumps(MARK), draw(st.sampled_from(FRAGMENTS)), 1)
    status = draw(st.sampled_from([200, 200, 200, 200, 202, 204, 101, 302, 404, 409, 422, 429, 500, 503]))
    delay = draw(st.sampled_from(["", "0", "-1", "nan", "inf", "1e400", "soon"]))
    return status, text, {"retry-after": delay} if delay else {}


def replayed(answer: tuple[int, str, dict[str, str]], **changes: Any) -> AgentTrace:
    request = builders.replay_request(
        DECISION,
        budget=Budget(max_turns=8, max_output_tokens=1000, max_seconds=1),
        target=builders.replay_request(DECISION).target.model_copy(update={"endpoint": URL}),
        deadline_at=datetime.fromisoformat("2999-01-01T00:00:00Z"),
        **changes,
    )
    return execute(request, DECISION, Known(), NoModel(), remote=Only(Says(*answer)))


def test_a_true_answer_is_a_decision() -> None:
    told = json.dumps({"run_id": "?", "state": "ended", "trace": whole_trace()})
    trace = replayed((200, told, {}))
    assert (trace.status, trace.reason) == ("completed", None)


@given(answers(), st.booleans())
def test_any_answer_ends_in_a_record_or_is_tried_again(
    answer: tuple[int, str, dict[str, str]], hinted: bool
) -> None:
    arm = {"arm": "opoi", "oracle": ORACLE} if hinted else {}
    try:
        trace = replayed(answer, **arm)
    except (AgentAway, QuotaExceeded):
        return
    value = builders.codec.encode("opoi.traces", trace)
    assert builders.codec.decode_as("opoi.traces", value, AgentTrace).status == trace.status
    # of a thousand runs like it the sum is a record too
    used = total([spent_by(trace)] * 1000)
    spending_of = Spending(
        agent="a",
        account_id="a",
        decision_id="d",
        replay_id="r",
        arm="opoi",
        model="m",
        spent=used,
        spent_at=AT,
    )
    assert builders.codec.encode("opoi.spending", spending_of)
