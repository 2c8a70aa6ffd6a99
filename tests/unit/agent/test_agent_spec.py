"""The AgentSpec: matching actions, normalised requests, what it refuses to be."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decision import InvalidDecision, read_decision
from agent.media_buyer.definition import media_buyer
from agent.spec import AgentSpec, SpecError, actions_match
from schemas.identity import canonical_json
from schemas.records import Action

SPEC = media_buyer().spec


def action(name, target="c1", **arguments):
    return Action(name=name, target=target, arguments_json=canonical_json(arguments))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (action("hold"), action("hold"), True),
        (action("hold"), action("pause"), False),
        (action("hold"), action("hold", target="c2"), False),
        (action("scale_up", daily_budget=12000), action("scale_down", daily_budget=12000), False),
        (action("scale_up", daily_budget=12000), action("scale_up", daily_budget=13200), True),
        (action("scale_up", daily_budget=12000), action("scale_up", daily_budget=13201), False),
        (action("scale_up", daily_budget=12000), action("scale_up"), True),
        (action("unknown"), action("unknown"), False),
    ],
)
def test_actions_match_by_direction_and_within_a_tenth(one, other, same):
    assert actions_match(SPEC, one, other) is same


@given(st.integers(100, 10**9), st.integers(100, 10**9))
def test_matching_is_symmetric_and_about_the_ratio(one, other):
    pair = action("scale_up", daily_budget=one), action("scale_up", daily_budget=other)
    assert actions_match(SPEC, *pair) == actions_match(SPEC, *reversed(pair))
    assert actions_match(SPEC, *pair) == (abs(math.log(one / other)) <= math.log(1.1) + 1e-12)


def test_the_artifact_is_the_spec_again():
    assert AgentSpec.parse(SPEC.content()) == SPEC
    assert AgentSpec.parse(SPEC.content()).spec_id == SPEC.spec_id


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tools": {}}, "no write tool"),
        ({"surprise": 1}, "surprise"),
        ({"snapshot": [{"tool": "set_status", "arguments": {}}]}, "no read tools"),
        (
            {"tools": {**SPEC.model_dump()["tools"], "wipe": {"effect": "write"}}},
            "a tool that writes needs `simulated`",
        ),
        ({"actions": {"hold": {"description": "", "within": {"x": 0.1}}}}, r"names \['x'\]"),
        ({"decision": {"spend": "money"}}, "decision.spend is 'money'"),
    ],
)
def test_a_spec_that_contradicts_itself_says_where(change, text):
    with pytest.raises(SpecError, match=text):
        AgentSpec.parse(canonical_json(SPEC.model_dump(mode="json") | change))


def test_what_is_no_spec_says_so():
    for content in (b"[1, 2", b"just words", b""):
        with pytest.raises(SpecError, match="this is no AgentSpec"):
            AgentSpec.parse(content)


def test_the_segment_comes_from_the_input():
    assert SPEC.segment_of({"currency": "EUR", "time_zone": "Europe/Berlin"}) == "EUR/Europe/Berlin"
    with pytest.raises(SpecError, match="needs 'time_zone' of the input"):
        SPEC.segment_of({"currency": "EUR"})


def test_the_money_that_an_action_moves_is_the_argument_that_the_spec_names():
    raised = Action(name="scale_up", target="c1", arguments_json='{"daily_budget":14400}')
    assert SPEC.spend_of(raised) == 14400
    assert SPEC.spend_of(Action(name="hold", target="c1", arguments_json="{}")) == 0
    without = AgentSpec.parse(canonical_json(SPEC.model_dump(mode="json") | {"decision": {}}))
    assert without.spend_of(raised) == 0
    assert "spend" not in json.loads(without.content())["decision"]


def body(**changes):
    decided = {
        "rationale": "Fine.",
        "cited_metrics": [],
        "action": {"name": "hold", "target": "c1", "arguments": {}},
    }
    return canonical_json(decided | changes)


def test_a_decision_names_the_call_that_carries_it_out():
    raised = {"name": "scale_up", "target": "c1", "arguments": {"daily_budget": 14400}}
    decided = read_decision(SPEC, body(action=raised))
    assert decided.write == ("set_daily_budget", {"campaign_id": "c1", "daily_budget": 14400})
    paused = {"name": "pause", "target": "c1", "arguments": {}}
    assert read_decision(SPEC, body(action=paused)).write == (
        "set_status",
        {"campaign_id": "c1", "status": "PAUSED"},
    )
    assert read_decision(SPEC, body()).write is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "the decision is no JSON"),
        ("[" * 100_000, "the decision is no JSON"),
        ("[]", "breaks its contract"),
        (body(rationale=""), "rationale"),
        (body(extra=1), "extra"),
        (body(action={"name": "hold", "target": "c1", "arguments": {"daily_budget": 1}}), r"takes \[\]"),
        (body(action={"name": "scale_up", "target": "c1", "arguments": {}}), r"takes \['daily_budget'\]"),
        (
            body(action={"name": "scale_up", "target": "c1", "arguments": {"daily_budget": 99}}),
            "argument 'daily_budget' of 'scale_up' is 99, below 100",
        ),
        (
            body(action={"name": "scale_up", "target": "c1", "arguments": {"daily_budget": "144.00"}}),
            "must be of type integer, not '144.00'",
        ),
        (
            body(action={"name": "scale_up", "target": "c1", "arguments": {"daily_budget": True}}),
            "must be of type integer, not True",
        ),
        (
            '{"rationale":"x","cited_metrics":[],"action":{"name":"scale_up","target":"c1",'
            '"arguments":{"daily_budget":99999999999999999999}}}',
            "is 99999999999999999999, above 5000000",
        ),
    ],
)
def test_what_is_no_decision_says_why(text, fault):
    with pytest.raises(InvalidDecision, match=fault):
        read_decision(SPEC, text)


@given(st.text())
def test_any_text_is_a_decision_or_an_invalid_one(text):
    with pytest.raises(InvalidDecision):
        read_decision(SPEC, text)
