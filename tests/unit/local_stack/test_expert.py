"""The simulated expert: what it weighs, how often it errs, that it can be repeated."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from agent.media_buyer.definition import media_buyer
from local_stack.expert import review, signals
from schemas.identity import canonical_json, deterministic_id
from schemas.records import Action, AgentDecision, Part, SnapshotEntry, Turn, Usage

SPEC = media_buyer().spec
NOW = datetime(2026, 3, 10, 13, tzinfo=UTC)


def entry(tool, arguments, body):
    asked, answered = canonical_json(arguments), json.dumps(body)
    return SnapshotEntry(
        tool=tool, arguments_json=asked, request_hash="h", response_json=answered, fetched_at=NOW
    )


def row(day, cost, purchases=20):
    """A day at this cost of a purchase; an order is worth 60."""
    roas = 60.0 / cost
    return {
        "spend": f"{cost * purchases:.2f}",
        "actions": [{"action_type": "purchase", "value": str(purchases)}] if purchases else [],
        "purchase_roas": [{"action_type": "omni_purchase", "value": f"{roas:.6f}"}] if purchases else [],
        "date_start": f"2026-03-{day:02d}",
    }


def decision(rows, *, name="hold", status="ACTIVE", stage="SUCCESS", number=0, **arguments):
    asked = {"target_cpa_minor": 3000, "target_roas": 2.0}
    campaign = {"daily_budget": "60000", "status": status, "learning_stage_info": {"status": stage}}
    return AgentDecision(
        agent="media-buyer",
        account_id="act_1",
        decision_id=f"d{number}",
        agent_version="1",
        account_time_zone="UTC",
        currency="EUR",
        segment="s",
        decided_at=NOW,
        prompt_id="p",
        toolset_id="t",
        spec_id="s",
        model="m",
        input_json=canonical_json(asked),
        turns=(Turn(role="user", parts=(Part(kind="text", text="Decide."),)),),
        snapshot=(
            entry("get_insights", {"time_increment": 1}, {"data": rows}),
            entry("get_campaign", {}, campaign),
        ),
        action=Action(name=name, target="c1", arguments_json=canonical_json(arguments)),
        rationale="r",
        usage=Usage(),
    )


def level(cost, yesterday=None):
    return [row(day, cost) for day in range(3, 9)] + [row(9, cost if yesterday is None else yesterday)]


def firsts(made, times=400):
    return [verdicts[0] for number in range(times) if (verdicts := review(made(number), Random(number)))]


def test_signals_are_read_from_the_recorded_answers():
    seen = signals(decision(level(30.0, 60.0)))
    assert (seen.cpa_yesterday, seen.target, seen.budget, seen.status) == (60.0, 30.0, 60000, "ACTIVE")
    assert seen.cpa_week == pytest.approx((6 * 600 + 1200) / 140)
    assert seen.yesterday < seen.week < 0
    assert signals(decision([])) is None


def test_only_rows_of_the_campaign_as_a_whole_are_judged():
    """The snapshot also holds longer lists, of the account and of single ads."""
    made = decision(level(30, yesterday=20))
    others = (
        entry("get_insights", {"time_increment": 1, "level": "ad"}, {"data": [row(1, 90)] * 40}),
        entry("get_insights", {"time_increment": 1, "entity_id": "act_1"}, {"data": [row(1, 90)] * 40}),
    )
    assert signals(made.model_copy(update={"snapshot": (*made.snapshot, *others)})) == signals(made)


def test_yesterday_weighs_more_than_the_week():
    """A fine week with a bad yesterday is cut; the agent that held is corrected."""
    kinds = Counter(
        verdict.corrected_action.name if verdict.corrected_action else verdict.kind
        for verdict in firsts(lambda number: decision(level(26.0, 50.0), number=number))
    )
    assert kinds["scale_down"] > 0.85 * kinds.total()


def test_low_stock_holds_what_would_grow_and_no_tool_knows_it():
    def made(number):
        return decision(level(20.0), name="scale_up", daily_budget=72000, number=number)

    verdicts = firsts(made)
    held = [one for one in verdicts if one.rule_tag == "low_stock"]
    assert 0.04 < len(held) / len(verdicts) < 0.13
    assert {one.corrected_action.name for one in held if one.corrected_action} == {"hold"}
    assert all(
        any(word in one.rationale for word in ("tock", "nventory", "warehouse", "upply"))
        or len(one.rationale) < 45
        for one in held
        if one.kind == "correct"
    )


def test_a_campaign_that_learns_is_given_time():
    """Worse than target by a quarter is a cut, but not while it learns."""
    grown = [
        firsts(lambda n, s=stage: decision(level(38.0), stage=s, number=n))
        for stage in ("SUCCESS", "LEARNING")
    ]
    corrected = [sum(one.kind == "correct" for one in verdicts) / len(verdicts) for verdicts in grown]
    assert corrected[0] > corrected[1] + 0.2


def test_declines_revisions_retractions_hindsight_and_silence_happen_and_are_rare():
    every = [review(decision(level(40.0), number=number), Random(number)) for number in range(2000)]
    kinds = Counter(one.kind for verdicts in every for one in verdicts)
    assert 20 < sum(not verdicts for verdicts in every) < 120
    assert 40 < kinds["decline"] < 200
    assert 15 < kinds["retract"] < 100
    assert (
        30
        < sum(any(one.revision == 2 and one.kind != "retract" for one in verdicts) for verdicts in every)
        < 160
    )
    assert 20 < sum(one.outcome_known for verdicts in every for one in verdicts) < 120


def test_revisions_count_up_and_come_later():
    for number in range(500):
        verdicts = review(decision(level(40.0), number=number), Random(number))
        assert [one.revision for one in verdicts] == list(range(1, len(verdicts) + 1))
        times = [one.given_at for one in verdicts]
        assert times == sorted(times)
        assert all(one.given_at > NOW for one in verdicts)
        assert len({one.verdict_id for one in verdicts}) <= 1
        assert all((one.corrected_action is None) == (one.kind != "correct") for one in verdicts)


def test_a_correction_is_an_action_of_the_spec_with_the_campaigns_own_target():
    for number in range(300):
        for one in review(decision(level(20.0 + number / 5), number=number), Random(number)):
            if one.corrected_action:
                assert one.corrected_action.name in SPEC.actions
                assert one.corrected_action.target == "c1"
                arguments = json.loads(one.corrected_action.arguments_json)
                assert arguments.keys() == SPEC.actions[one.corrected_action.name].arguments.keys()


def test_the_same_seed_says_the_same():
    made = decision(level(40.0))
    assert review(made, Random(5)) == review(made, Random(5))
    first = review(made, Random(5))[0]
    assert first.verdict_id == deterministic_id("verdict", "media-buyer", "d0", first.expert)


def test_the_expert_does_not_always_say_the_same_words():
    said = {one.rationale for one in firsts(lambda number: decision(level(40.0), number=number))}
    assert len(said) > 20


def test_a_paused_campaign_that_did_well_is_resumed():
    verdicts = firsts(lambda number: decision(level(20.0), status="PAUSED", number=number))
    named = Counter(one.corrected_action.name for one in verdicts if one.corrected_action)
    assert named.most_common(1)[0][0] == "resume"


def test_days_without_a_sale_do_not_break_the_expert():
    rows = [*level(30.0)[:-1], row(9, 30.0, purchases=0)]
    verdict = review(decision(rows), Random(2))[0]
    assert verdict.given_at - NOW < timedelta(days=30)
    assert signals(decision([row(day, 30.0, purchases=0) for day in range(3, 10)])) is None
