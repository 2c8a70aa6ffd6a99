"""What an agent tells against what was seen: for any trace an answer, and only for a true one a decision."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.http.contract import Breach, DecisionContext, OraclePart, RunBudget, RunRequest, RunTrace
from agent.http.runtime import split_question
from agent.http.tools_endpoint import Exchange
from agent.http.verify_trace import verify, with_oracle_part
from agent.media_buyer.definition import media_buyer
from agent.oracle import render
from schemas.records import Action, ExpertVerdict, Part, SubAgentRun, TokenLogProbability, Turn, Usage

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


def test_a_write_stays_one_whatever_its_model_was_told() -> None:
    wrote = {"tool": "set_status", "effect": "write", "answered_by": "live", "response_json": "{}"}
    seen = Exchange(Part(**ASKED | {"tool": "set_status"}), Part(**GIVEN | wrote))
    call = seen.call.model_copy(update={"call_id": "c"})
    told = seen.response.model_copy(update={"response_json": None, "error": "timed out"})
    turns = (Turn(role="model", parts=(call,)), Turn(role="user", parts=(told,)))
    [part] = verify(request(), trace(*turns, status="failed"), [seen], SPEC).turns[2].parts
    assert (part.effect, part.answered_by, part.error) == ("write", "live", "timed out")


def test_an_error_of_the_agents_own_passes_for_no_recording() -> None:
    turns = asked_and_answered(response_json=None, error="timed out", answered_by="recording")
    [part] = verify(request(), trace(*turns), [SEEN], SPEC).turns[2].parts
    assert part.answered_by == "error"
    claims = {"answered_by": "recording", "request_hash": "h2", "fetched_at": "2026-01-01T00:00:00Z"}
    call = Part(kind="function_call", tool="get_campaign", arguments_json="{}")
    claimed = Part(**(GIVEN | claims | {"error": "no such campaign", "effect": "write"}))
    more = (Turn(role="model", parts=(call,)), Turn(role="user", parts=(claimed,)))
    [part] = verify(request(), trace(*asked_and_answered(), *more), [SEEN], SPEC).turns[4].parts
    assert (part.answered_by, part.request_hash, part.fetched_at, part.effect) == (
        "error",
        None,
        None,
        "read",
    )


def test_the_first_turn_is_the_question_whatever_the_agent_adds_to_it() -> None:
    padded = QUESTION.model_copy(update={"finish_reason": "STOP"})
    told = trace(*asked_and_answered()).model_copy(update={"turns": (padded, *asked_and_answered())})
    assert verify(request(), told, [SEEN], SPEC).turns[0] == QUESTION


def test_a_sub_agents_calls_are_held_against_what_was_seen_too() -> None:
    run = SubAgentRun(run_id="s1", name="performance_analyst", turns=asked_and_answered())
    ask = Part(kind="function_call", tool="ask_performance_analyst", arguments_json="{}")
    finding = Part(
        kind="function_response", tool="ask_performance_analyst", effect="read", response_json='"fine"'
    )
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


@pytest.mark.parametrize(
    ("tool", "name", "turns"),
    [
        ("analyst", "analyst", asked_and_answered()),  # a tool that the spec does not know
        ("get_ad_sets", "get_ad_sets", asked_and_answered()),  # a platform's
        ("ask_performance_analyst", "delivery_analyst", asked_and_answered()),  # another one's
        ("ask_performance_analyst", "performance_analyst", ()),
        ("ask_performance_analyst", "performance_analyst", (QUESTION,)),  # no model was asked
    ],
)
def test_a_sub_agent_is_one_of_the_spec_that_ran(tool: str, name: str, turns: tuple[Turn, ...]) -> None:
    ask = Part(kind="function_call", tool=tool, arguments_json="{}")
    finding = Part(kind="function_response", tool=tool, response_json='{"spend":"1.00"}')
    run = SubAgentRun(run_id="s1", name=name, turns=turns)
    told = trace(Turn(role="model", parts=(ask,)), Turn(role="user", parts=(finding,)), sub_agent_runs=(run,))
    with pytest.raises(Breach) as caught:
        verify(request(), told, [SEEN] if len(turns) > 1 else [], SPEC)
    assert caught.value.code == "tool_call_bypassed"


def test_a_finding_passes_for_no_recording() -> None:
    run = SubAgentRun(run_id="s1", name="performance_analyst", turns=asked_and_answered())
    ask = Part(kind="function_call", tool="ask_performance_analyst", arguments_json="{}")
    finding = Part(
        kind="function_response", tool="ask_performance_analyst", response_json='"fine"', effect="write",
        answered_by="recording", request_hash="h2", fetched_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    told = trace(Turn(role="model", parts=(ask,)), Turn(role="user", parts=(finding,)), sub_agent_runs=(run,))
    [part] = verify(request(), told, [SEEN], SPEC).turns[2].parts
    assert (part.answered_by, part.request_hash, part.fetched_at, part.effect) == (None, None, None, "read")
    assert part.response_json == '"fine"'


NONCE = "0123456789abcdef" * 2
VERDICT = ExpertVerdict(
    agent="a", account_id="x", decision_id="d", verdict_id="v", expert="e", kind="correct",
    corrected_action=Action(name="scale_up", target="1", arguments_json='{"daily_budget":12000}'),
    rationale="Look at ROAS of yesterday.", given_at=datetime(2026, 1, 2, tzinfo=UTC),
)  # fmt: skip
ORACLE = OraclePart(text=render(SPEC, VERDICT, 2, NONCE), part=1)
ACTION_LINE, WHERE_LINE, LAST_LINE = ORACLE.text.splitlines()[1:-1]
BODY = "\n".join((ACTION_LINE, WHERE_LINE, LAST_LINE))
FIELDS = ("text", "arguments_json", "response_json", "error")


def hinted(*turns: Turn, **changes: Any) -> RunTrace:
    return trace(turns=(with_oracle_part(QUESTION, ORACLE), *turns), status="failed", **changes)


def breach_of(told: RunTrace, *exchanges: Exchange) -> str | None:
    try:
        verify(request(ORACLE), told, exchanges, SPEC)
    except Breach as breach:
        return breach.code
    return None


def in_part(field: str, text: str, role: Any = "user") -> Turn:
    kind: Any = {"text": "text", "arguments_json": "function_call"}.get(field, "function_response")
    return Turn(role=role, parts=(Part(kind=kind, tool="rocket", **{field: text}),))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("copied", [ORACLE.text, BODY, ACTION_LINE, WHERE_LINE, LAST_LINE, NONCE])
@pytest.mark.parametrize(
    "wrapped",
    [
        str,
        lambda text: json.dumps({"q": [{"note": f"Well. {text}"}]}),
        lambda text: json.dumps({f"{text}!": 1}),
        lambda text: json.dumps({"q": json.dumps([text])}),
        lambda text: '{"q":"' + "".join(f"\\u{ord(sign):04x}" for sign in text) + '"}',
    ],
    ids=["raw", "value", "name", "JSON within JSON", "escaped"],
)
def test_the_oracles_text_stands_in_no_later_part(
    field: str, copied: str, wrapped: Callable[[str], str]
) -> None:
    assert breach_of(hinted(in_part(field, wrapped(copied)))) == "oracle_misplaced"
    run = SubAgentRun(run_id="s1", name="performance_analyst", turns=(in_part(field, wrapped(copied)),))
    assert breach_of(hinted(sub_agent_runs=(run,))) == "oracle_misplaced"


@pytest.mark.parametrize("text", [ACTION_LINE, LAST_LINE])
def test_what_the_model_repeats_is_a_leak_for_the_gates_and_no_fault_of_the_agents(text: str) -> None:
    said = Turn(role="model", parts=(Part(kind="thought", text=text), Part(kind="text", text=text)))
    assert breach_of(hinted(said)) is None
    assert breach_of(hinted(in_part("text", f"[note {NONCE}]", "model"))) == "oracle_misplaced"


def test_data_that_reads_like_the_oracle_may_be_quoted() -> None:
    body = json.dumps({"note": f"Last week: {ACTION_LINE}"})
    seen = Exchange(SEEN.call, SEEN.response.model_copy(update={"response_json": body}))
    answered = hinted(*asked_and_answered(response_json=body), in_part("text", f"You read: {ACTION_LINE}"))
    assert breach_of(answered, seen) is None
    also_more = hinted(*asked_and_answered(response_json=body), in_part("text", BODY))
    assert breach_of(also_more, seen) == "oracle_misplaced", "its other lines stand in no data"
    asked = SEEN.call.model_copy(update={"tool": ACTION_LINE})
    refused = SEEN.response.model_copy(
        update={"tool": ACTION_LINE, "response_json": None, "error": f"there is no tool {ACTION_LINE!r}"}
    )
    assert breach_of(hinted(in_part("text", ACTION_LINE)), Exchange(asked, refused)) == "oracle_misplaced"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", ["scale_up", "daily_budget 12000", "12000", "Expected action:", "roas"])
def test_words_that_the_oracle_has_too_may_be_used(field: str, text: str) -> None:
    assert breach_of(hinted(in_part(field, json.dumps({"q": text})))) != "oracle_misplaced"


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


def test_many_calls_beside_many_that_were_made_are_paired_in_no_time() -> None:
    def made(number: int) -> Exchange:
        asked = ASKED | {"arguments_json": json.dumps({"campaign_id": str(number), "more": "x" * 10_000})}
        return Exchange(Part(**asked, call_id=str(number)), Part(**GIVEN, response_json="{}"))

    call = Part(kind="function_call", tool="rocket", arguments_json="{}")
    own = Part(kind="function_response", tool="rocket", error="no")
    turns = (Turn(role="model", parts=(call,) * 3000), Turn(role="user", parts=(own,) * 3000))
    begun = time.monotonic()
    with pytest.raises(Breach, match="500 calls of get_campaign were made"):
        verify(request(), trace(*turns), [made(number) for number in range(500)], SPEC)
    assert time.monotonic() - begun < 10  # each call against each that was made takes minutes


@pytest.mark.parametrize("number", [float("nan"), 0.5, float("inf")])
def test_what_is_no_log_probability_breaks_the_contract(number: float) -> None:
    token = TokenLogProbability(token="a", log_probability=number)
    said = Turn(role="model", log_probabilities=(token,))
    with pytest.raises(Breach, match=f"a log-probability is {number:g}"):
        verify(request(), trace(*asked_and_answered(), said), [SEEN], SPEC)


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
