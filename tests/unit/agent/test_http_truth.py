"""What an agent tells against what was seen: for any trace an answer, and only for a true one a decision."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.http.contract import DecisionContext, OraclePart, RunBudget, RunRequest, RunTrace
from agent.http.runtime import split_question
from agent.http.tools_endpoint import Exchange
from agent.http.truth import Breach, verify, with_oracle_part
from agent.media_buyer.definition import media_buyer
from schemas.records import Action, Part, SubAgentRun, Turn, Usage

SPEC = media_buyer().spec
QUESTION = Turn(role="user", parts=(Part(kind="text", text="Decide."),))
ASKED = {"kind": "function_call", "tool": "get_campaign", "arguments_json": '{"campaign_id":"1"}'}
GIVEN = {"kind": "function_response", "tool": "get_campaign", "effect": "read", "answered_by": "recording"}
SEEN = Exchange(
    Part(**ASKED, call_id="c1"), Part(**GIVEN, call_id="c1", response_json='{"a": 1}', request_hash="h")
)


def request(oracle: OraclePart | None = None) -> RunRequest:
    context = DecisionContext(
        agent="a", agent_version="1", account_id="x", decision_id="d", decided_at="2026-01-01T00:00:00Z",
        account_time_zone="UTC", currency="EUR", model="m", prompt_id="p", toolset_id="t", spec_id="s",
        input={}, question=QUESTION,
    )  # type: ignore[arg-type]  # fmt: skip
    budget = RunBudget(max_turns=4, max_output_tokens=100, max_seconds=5)
    return RunRequest(
        run_id="r", decision=context, oracle=oracle, seed=1, budget=budget, tools_url="u", tools_token="t"
    )


def trace(*turns: Turn, **changes: Any) -> RunTrace:
    fields: dict[str, Any] = {
        "run_id": "r", "decision_id": "d", "status": "completed", "turns": (QUESTION, *turns),
        "action": Action(name="hold", target="1"), "rationale": "Fine.",
    }  # fmt: skip
    return RunTrace(**(fields | changes))


def asked_and_answered(**changes: Any) -> tuple[Turn, Turn]:
    answer = Part(**(GIVEN | {"response_json": '{"a":1}'} | changes))
    return Turn(role="model", parts=(Part(**ASKED),)), Turn(role="user", parts=(answer,))


def test_a_true_trace_has_the_answers_as_they_were_given() -> None:
    found = verify(request(), trace(*asked_and_answered(answered_by="live")), [SEEN], SPEC)
    assert found.turns[2].parts[0] == SEEN.response.model_copy(update={"call_id": None})
    assert found.decision is not None
    assert found.decision.action.name == "hold"


def test_an_error_of_the_agents_own_in_place_of_an_answer_is_its_own() -> None:
    turns = asked_and_answered(response_json=None, error="timed out")
    [part] = verify(request(), trace(*turns), [SEEN], SPEC).turns[2].parts
    assert (part.response_json, part.error, part.request_hash) == (None, "timed out", "h")


def test_an_error_that_nobody_saw_is_the_agents_own_and_says_so() -> None:
    call = Part(kind="function_call", tool="rocket", arguments_json="{}")
    claimed = Part(kind="function_response", tool="rocket", error="no such tool", answered_by="snapshot")
    more = (Turn(role="model", parts=(call,)), Turn(role="user", parts=(claimed,)))
    found = verify(request(), trace(*asked_and_answered(), *more), [SEEN], SPEC)
    assert (found.turns[4].parts[0].answered_by, found.turns[4].parts[0].error) == ("error", "no such tool")


def test_the_first_turn_is_the_question_whatever_the_agent_adds_to_it() -> None:
    padded = QUESTION.model_copy(update={"finish_reason": "STOP"})
    told = trace(*asked_and_answered()).model_copy(update={"turns": (padded, *asked_and_answered())})
    assert verify(request(), told, [SEEN], SPEC).turns[0] == QUESTION


def test_a_sub_agents_calls_are_held_against_what_was_seen_too() -> None:
    run = SubAgentRun(run_id="s1", name="analyst", turns=asked_and_answered())
    ask = Part(kind="function_call", tool="analyst", arguments_json="{}")
    finding = Part(kind="function_response", tool="analyst", response_json='"fine"')
    turns = (Turn(role="model", parts=(ask,)), Turn(role="user", parts=(finding,)))
    found = verify(request(), trace(*turns, sub_agent_runs=(run,)), [SEEN], SPEC)
    assert found.sub_agent_runs[0].turns[1].parts[0].request_hash == "h"
    assert found.turns[2].parts[0] == finding
    with pytest.raises(Breach) as caught:
        verify(request(), trace(*turns, sub_agent_runs=(run,)), [], SPEC)
    assert caught.value.code == "tool_call_bypassed"
    with pytest.raises(Breach) as caught:
        verify(request(), trace(*turns), [SEEN], SPEC)
    assert caught.value.code == "tool_call_bypassed", "a sub-agent whose run is not told is no sub-agent"


@pytest.mark.parametrize("field", ["text", "arguments_json", "response_json", "error"])
def test_the_oracles_text_stands_in_no_later_part(field: str) -> None:
    oracle = OraclePart(text="Expected action: hold.", part=1)
    repeated = Part(kind="function_response", tool="rocket", **{field: f"Well. {oracle.text}"})
    told = trace(Turn(role="user", parts=(repeated,)))
    hinted = (with_oracle_part(QUESTION, oracle), *told.turns[1:])
    with pytest.raises(Breach) as caught:
        verify(request(oracle), told.model_copy(update={"turns": hinted}), [], SPEC)
    assert caught.value.code == "oracle_misplaced"


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"usage": Usage(output_tokens=-1)}, "contract"),
        ({"usage": Usage(output_tokens=60, thought_tokens=60)}, "max_output_tokens"),
        ({"usage": Usage(model_calls=5)}, "max_turns"),
        ({"action": None}, "no_decision"),
        ({"action": Action(name="double")}, "no_decision"),
        ({"action": Action(name="hold", arguments_json="[]")}, "no_decision"),
        ({"action": Action(name="hold", arguments_json=DEEP)}, "no_decision"),
        ({"action": Action(name="scale_up", arguments_json='{"daily_budget":1e400}')}, "no_decision"),
        ({"action": Action(name="pause", target="1")}, "writes_differ"),
    ],
)
def test_what_is_not_true_has_a_code(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Breach) as caught:
        verify(request(), trace(*asked_and_answered(), **changes), [SEEN], SPEC)
    assert caught.value.code == code


@pytest.mark.parametrize("arguments", ["{", DEEP, '{"a":1e400}', '"\\ud800"', "1" * 10_000])
def test_arguments_that_are_no_json_break_the_contract(arguments: str) -> None:
    call = Turn(role="model", parts=(Part(kind="function_call", tool="t", arguments_json=arguments),))
    answer = Turn(role="user", parts=(Part(kind="function_response", tool="t", response_json=DEEP),))
    with pytest.raises(Breach) as caught:
        verify(request(), trace(call, answer), [SEEN], SPEC)
    assert caught.value.code == "contract"


texts = st.none() | st.sampled_from(
    ["", "{}", '{"a":1}', '{"campaign_id":"1"}', "get_campaign", "set_status", "Decide."]
)
parts = st.builds(
    Part,
    kind=st.sampled_from(["text", "thought", "function_call", "function_response"]),
    text=texts, tool=texts, arguments_json=texts, response_json=texts, error=texts, is_oracle=st.booleans(),
)  # fmt: skip
turns = st.builds(Turn, role=st.sampled_from(["user", "model"]), parts=st.lists(parts, max_size=3).map(tuple))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(turns, max_size=4), st.sampled_from(["completed", "failed"]), st.booleans())
def test_any_trace_is_taken_or_has_a_code(told: list[Turn], status: str, with_question: bool) -> None:
    first = (QUESTION,) if with_question else ()
    made = trace(status=status, turns=(*first, *told))
    try:
        found = verify(request(), made, [SEEN], SPEC)
    except Breach:
        return
    answers = [part for turn in found.turns for part in turn.parts if part.kind == "function_response"]
    assert sum(part.request_hash == "h" for part in answers) == 1, "the call that was seen is in the trace"
    for part in answers:
        assert part.error is not None or json.loads(part.response_json or "") == {"a": 1}


@given(st.lists(st.text(), min_size=1, max_size=4), st.text(min_size=1), st.integers(0, 4))
def test_the_oracle_is_put_in_and_taken_out_without_a_trace(words: list[str], text: str, place: int) -> None:
    question = Turn(role="user", parts=tuple(Part(kind="text", text=word) for word in words))
    oracle = OraclePart(text=text, part=min(place, len(words)))
    hinted = with_oracle_part(question, oracle)
    assert split_question(hinted) == (question, oracle)
    assert split_question(question) == (question, None)
    assert sum(part.is_oracle for part in hinted.parts) == 1
