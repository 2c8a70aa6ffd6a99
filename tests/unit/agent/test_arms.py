"""The arms: what each puts before which model, and what stands in its trace."""

import json
from datetime import timedelta
from functools import partial
from typing import get_args

import pytest

from agent.arms import ARMS, FOREIGN_SIGNATURE, evidence, read_judgement
from agent.decision import InvalidDecision
from agent.fakes import ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import media_buyer
from agent.replay import execute
from schemas.records import Action, ExpertVerdict, ReplayArm
from tests.unit.agent.conftest import CAMPAIGN, DECIDED_AT, raises_budget, reads
from tests.unit.agent.http.http_kit import Known, replay_request

NOW = DECIDED_AT + timedelta(days=1)
ORACLE = "[note 0123456789abcdef]\nExpected action: hold.\n[end of note 0123456789abcdef]"


@pytest.fixture
def verdict():
    return ExpertVerdict(
        agent="media-buyer", account_id="a", decision_id="d1", verdict_id="v1", expert="e", kind="correct",
        corrected_action=Action(name="hold", target=CAMPAIGN), rationale="CPA rose.", given_at=NOW,
    )  # fmt: skip


@pytest.fixture
def asked(decision):
    """A request of one arm."""
    return partial(replay_request, decision, now=NOW)


def run(request, decision, *replies):
    model = ScriptedModel(replies)
    return execute(request, decision, Known(), model, now=lambda: NOW), model


def test_every_arm_has_its_strategy():
    assert set(ARMS) == set(get_args(ReplayArm))


def test_a_wrong_oracle_is_put_where_a_right_one_is(asked, decision):
    replies = reads(), says(decision_text("hold", CAMPAIGN))
    right, model = run(asked("opoi", oracle=ORACLE), decision, *replies)
    wrong, other = run(asked("wrong_oracle", oracle=ORACLE), decision, *replies)
    assert wrong.turns == right.turns
    assert (wrong.status, wrong.arm) == ("completed", "wrong_oracle")
    assert [one.contents[0] for one in other.requests] == [one.contents[0] for one in model.requests]


def test_the_corrector_sees_the_decision_and_the_verdict_and_nothing_else(asked, decision, verdict):
    trace, model = run(
        asked("corrector_sft", verdict=verdict), decision, says(decision_text("hold", CAMPAIGN))
    )
    [request] = model.requests
    assert (request.system, tuple(request.declarations)) == (None, ())
    [message] = request.contents
    [part] = message.turn.parts
    wanted = [decision.rationale, '"name":"hold"', "CPA rose.", "scale_up"]
    assert [words for words in wanted if words not in part.text] == []
    prompt = media_buyer().system_prompt.splitlines()
    assert [line for line in prompt if len(line) > 40 and line in part.text] == []
    responses = [one.response_json for turn in decision.turns for one in turn.parts if one.response_json]
    assert [body for body in responses if body in part.text] == []
    assert (trace.status, trace.action.name) == ("completed", "hold")


def test_the_correctors_row_is_the_original_with_its_last_turn_rewritten(asked, decision, verdict):
    trace, _ = run(asked("corrector_sft", verdict=verdict), decision, says(decision_text("hold", CAMPAIGN)))
    assert trace.turns[:-1] == evidence(decision.turns)
    assert len(trace.turns) > 1
    assert trace.turns[-1].parts[0].text == decision_text("hold", CAMPAIGN).text
    assert not any(part.effect == "write" for turn in trace.turns for part in turn.parts)
    assert trace.intended_writes == ()


def test_a_corrector_that_scales_needs_no_tool_for_it(asked, decision, verdict):
    scaled = says(decision_text("scale_up", CAMPAIGN, daily_budget=12_000))
    trace, _ = run(asked("corrector_sft", verdict=verdict), decision, scaled)
    assert (trace.status, trace.reason) == ("completed", None)


def test_a_corrector_cannot_call_tools(asked, decision, verdict):
    tried = says(call("get_insights", entity_id=CAMPAIGN))
    trace, _ = run(
        asked("corrector_sft", verdict=verdict), decision, tried, says(decision_text("hold", CAMPAIGN))
    )
    [answer] = [one for turn in trace.turns for one in turn.parts if one.kind == "function_response"][-1:]
    assert answer.error is not None
    assert answer.response_json is None


def test_a_redecision_goes_on_from_what_was_read_without_oracle_and_reasoning(asked, decision):
    hinted, _ = run(asked("opoi", oracle=ORACLE), decision, *raises_budget())
    trace, model = run(
        asked("redecision", strength=1, turns=hinted.turns), decision, says(decision_text("hold", CAMPAIGN))
    )
    [request] = model.requests
    turns = [message.turn for message in request.contents]
    assert turns[0] == decision.turns[0]
    assert request.system == media_buyer().system_prompt
    assert turns[-1].role == "user"
    assert {part.kind for turn in turns[1:] for part in turn.parts} == {"function_call", "function_response"}
    assert "0123456789abcdef" not in json.dumps([turn.model_dump(mode="json") for turn in turns])
    assert [turn.parts[0].signature for turn in turns if turn.role == "model"] == [FOREIGN_SIGNATURE]
    assert trace.turns[: len(turns)] == tuple(turns)
    assert (trace.status, trace.action.name) == ("completed", "hold")


def test_a_judge_is_blind(asked, decision):
    hinted, _ = run(asked("opoi", oracle=ORACLE), decision, reads(), says(decision_text("hold", CAMPAIGN)))
    judged = says(text('{"reason": "It follows from the figures.", "judgement": "pass"}'))
    trace, model = run(asked("judge", turns=hinted.turns), decision, judged)
    [request] = model.requests
    assert (request.system, tuple(request.declarations)) == (None, ())
    assert "Expected action" not in request.contents[0].turn.parts[0].text
    assert CAMPAIGN in request.contents[0].turn.parts[0].text
    assert (trace.status, trace.action.name) == ("completed", "pass")
    assert trace.rationale == "It follows from the figures."


@pytest.mark.parametrize(
    ("arm", "code"),
    [("corrector_sft", "verdict_missing"), ("redecision", "turns_missing"), ("judge", "turns_missing")],
)
def test_a_request_that_lacks_what_its_arm_needs_says_so(asked, decision, arm, code):
    trace, _ = run(asked(arm), decision)
    assert (trace.status, trace.reason.split(":")[0], trace.attempts) == ("failed", code, 0)


@pytest.mark.parametrize("words", ["yes", "{}", '{"reason": "x", "judgement": "maybe"}', "[1]", "null"])
def test_what_is_no_judgement_is_refused(words):
    with pytest.raises(InvalidDecision, match="the judgement is"):
        read_judgement(media_buyer().spec, words)
