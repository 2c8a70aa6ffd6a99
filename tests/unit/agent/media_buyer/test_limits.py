"""Each limit of the media buyer is checked somewhere, and the check refuses what lies beyond it."""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from random import Random

import pytest
from pydantic import ValidationError

from agent.decision import InvalidDecision, read_decision
from agent.decision_checks import check_decision
from agent.fakes import call, decision_text, says, text
from agent.limits import LimitsError, filled, read_limits
from agent.media_buyer import tools as live
from agent.media_buyer.definition import media_buyer
from agent.media_buyer.limits import LIMITS
from agent.ports import GenerationConfig
from agent.run import Limits
from agent.settings import AdsSettings
from agent.sub_agents import read_finding
from local_stack import expert
from local_stack.ads.errors import GraphError
from local_stack.ads.platform import Platform
from local_stack.ads.state import LEARNING_CONVERSIONS, LEARNING_DAYS, SIGNIFICANT_EDIT, State
from local_stack.ads.world import World
from local_stack.traffic import Production
from schemas.records import Part, Turn
from tests.unit.agent.conftest import ASK_WEEK, CAMPAIGN, reads
from tests.unit.local_stack.test_expert import decision as reviewed
from tests.unit.local_stack.test_expert import level

SPEC = media_buyer().spec
PRESENT = 1_000_000
NOW = datetime(2026, 3, 10, 13, tzinfo=UTC)
CITED = {"metric": "cpa", "window": "yesterday", "value": 1.0, "source": "get_insights"}


def limit(name: str) -> float:
    return LIMITS[name].value


def seen(present: int = PRESENT) -> list[Turn]:
    """What both reads have answered."""
    body = json.dumps({"daily_budget": str(present)})
    return [
        Turn(
            role="user",
            parts=tuple(
                Part(kind="function_response", tool=tool, response_json=body)
                for tool in ("get_insights", "get_campaign")
            ),
        )
    ]


def judged(action: str, budget: int | None, present: int = PRESENT, **changes: object) -> str | None:
    """What is wrong with a decision; None where it is accepted."""
    arguments = {} if budget is None else {"daily_budget": budget}
    body = {
        "rationale": "x",
        "cited_metrics": [],
        "action": {"name": action, "target": CAMPAIGN, "arguments": arguments},
    }
    try:
        decision = read_decision(SPEC, json.dumps(body | changes))
        check_decision(SPEC, decision, {"campaign_id": CAMPAIGN}, seen(present))
    except InvalidDecision as error:
        return str(error)
    return None


def at_percent(percent: float, past: int) -> int:
    return round(PRESENT * (1 + percent / 100)) + past


def finding_of(characters: int) -> None:
    body = {"finding": "x" * characters, "cited_metrics": [], "trend": "up"}
    read_finding(SPEC, SPEC.sub_agents["delivery_analyst"], json.dumps(body), [])


def largest_raise(_: object) -> None:
    within = at_percent(limit("largest_raise_percent"), 0)
    assert judged("scale_up", within) is None
    assert "takes +5% to +50%" in (judged("scale_up", within + 200) or "")


def largest_cut(_: object) -> None:
    within = at_percent(-limit("largest_cut_percent"), 0)
    assert judged("scale_down", within) is None
    assert "takes -50% to -5%" in (judged("scale_down", within - 200) or "")


def smallest_change(_: object) -> None:
    for action, sign in (("scale_up", 1), ("scale_down", -1)):
        within = at_percent(sign * limit("smallest_change_percent"), 0)
        assert judged(action, within) is None
        assert "of the present" in (judged(action, within - sign * 200) or "")
        assert "of the present" in (judged(action, 2 * PRESENT - within) or "")


def smallest_budget(_: object) -> None:
    least = int(limit("smallest_budget_minor"))
    assert judged("scale_down", least, present=125) is None
    assert f"below {least}" in (judged("scale_down", least - 1, present=125) or "")
    with pytest.raises(ValidationError):
        live.SetDailyBudget(campaign_id="1", daily_budget=least - 1)


def largest_budget(_: object) -> None:
    most = int(limit("largest_budget_minor"))
    assert judged("scale_up", most, present=4_000_000) is None
    assert f"above {most}" in (judged("scale_up", most + 1, present=4_000_000) or "")
    with pytest.raises(ValidationError):
        live.SetDailyBudget(campaign_id="1", daily_budget=most + 1)


def longest_rationale(_: object) -> None:
    most = int(limit("longest_rationale"))
    assert judged("hold", None, rationale="x" * most) is None
    assert "the rationale has" in (judged("hold", None, rationale="x" * (most + 1)) or "")


def most_cited(_: object) -> None:
    most = int(limit("most_cited_metrics"))
    assert judged("hold", None, cited_metrics=[CITED] * most) is None
    assert "metrics are cited" in (judged("hold", None, cited_metrics=[CITED] * (most + 1)) or "")


def longest_finding(_: object) -> None:
    most = int(limit("longest_finding"))
    finding_of(most)
    with pytest.raises(InvalidDecision, match="the finding has"):
        finding_of(most + 1)


def longest_range(_: object) -> None:
    days = int(limit("longest_range_days"))
    since = NOW.date()
    live.TimeRange(since=since, until=since + timedelta(days=days - 1))
    with pytest.raises(ValidationError, match=f"1 to {days} can be asked for"):
        live.TimeRange(since=since, until=since + timedelta(days=days))


def most_breakdowns(_: object) -> None:
    asked = {"entity_id": "1", "date_preset": "last_7d", "fields": ["spend"]}
    names = ["age", "gender", "publisher_platform"]
    most = int(limit("most_breakdowns"))
    live.GetBreakdown.model_validate(asked | {"breakdowns": names[:most]})
    with pytest.raises(ValidationError):
        live.GetBreakdown.model_validate(asked | {"breakdowns": names[: most + 1]})


def change_history(_: object) -> None:
    asked = {}

    class Client:
        def activities(self, account_id, campaign_id, times, fields):
            asked["times"] = times
            return []

    tool = live._reads(Client(), lambda: NOW)["get_change_history"]
    tool.function(live.GetChangeHistory(account_id="act_1", campaign_id="1"))
    assert asked["times"] == (NOW - timedelta(days=limit("change_history_days")), NOW)


def production_limits() -> Limits:
    return Production(None, "m", AdsSettings()).limits


def most_turns(run_script: Callable) -> None:
    most = int(limit("most_turns"))
    assert production_limits().max_turns == most
    run, _ = run_script(*(reads() for _ in range(most)), limits=production_limits())
    assert run.reason == f"max_turns: the model took {most} turns and wants another"


def most_analyst_calls(run_script: Callable) -> None:
    most = int(limit("most_analyst_calls"))
    ask = says(call("ask_delivery_analyst", window="yesterday", focus="status"))
    answer = says(text('{"finding": "fine", "cited_metrics": [], "trend": "flat"}'))
    run, _ = run_script(*([ask, answer] * most), ask, says(decision_text("hold", CAMPAIGN)))
    assert len(run.sub_agent_runs) == most
    assert f"were asked {most} times" in run.turns[-2].parts[0].error


def analyst_turns(run_script: Callable) -> None:
    most = int(limit("analyst_turns"))
    ask = says(call("ask_delivery_analyst", window="yesterday", focus="status"))
    reading = says(call("get_insights", **ASK_WEEK))
    run, _ = run_script(ask, *([reading] * most), says(decision_text("hold", CAMPAIGN)))
    assert f"max_turns: the model took {most} turns" in run.turns[2].parts[0].error


def most_corrections(run_script: Callable) -> None:
    most = int(limit("most_corrections"))
    assert production_limits().max_corrections == Limits().max_corrections == most
    wrong = says(decision_text("double_it", CAMPAIGN))
    right = says(decision_text("hold", CAMPAIGN))
    run, _ = run_script(*([wrong] * most), right, limits=production_limits())
    assert run.status == "completed"
    run, _ = run_script(*([wrong] * (most + 1)), limits=production_limits())
    assert (run.status, run.reason.partition(":")[0]) == ("invalid", "no_decision")


def longest_answer(run_script: Callable, tools) -> None:
    most = int(limit("longest_answer_bytes"))
    assert production_limits().max_response_bytes == Limits().max_response_bytes == most
    tools.functions = {**tools.functions, "get_insights": lambda _: json.dumps({"data": "x" * most})}
    run, _ = run_script(reads(), says(decision_text("hold", CAMPAIGN)), limits=production_limits())
    assert json.loads(run.turns[2].parts[0].response_json)["truncated"] is True


def tool_seconds(run_script: Callable, tools) -> None:
    assert production_limits().tool_seconds == Limits().tool_seconds == limit("tool_seconds")
    tools.functions = {**tools.functions, "get_campaign": lambda _: time.sleep(0.3) or "{}"}
    run, _ = run_script(reads(), says(decision_text("hold", CAMPAIGN)), limits=Limits(tool_seconds=0.05))
    assert "did not answer within 0.05 s" in run.turns[2].parts[1].error


def platform() -> Platform:
    return Platform(State(World.make(7, accounts=1)))


def budget_changes(_: object) -> None:
    world = platform()
    campaign = world.state.world.campaigns[0]
    most = int(limit("budget_changes_an_hour"))
    for number in range(most):
        world.update(campaign, {"daily_budget": str(20_000 + number)}, NOW + timedelta(minutes=number))
    with pytest.raises(GraphError) as raised:
        world.update(campaign, {"daily_budget": "30000"}, NOW + timedelta(minutes=30))
    assert (raised.value.code, raised.value.subcode) == (613, 1487742)


def significant_edit(_: object) -> None:
    assert limit("significant_edit_percent") / 100 == SIGNIFICANT_EDIT
    for past, status in ((0, False), (2, True)):
        state = State(World.make(7, accounts=1))
        campaign = state.world.campaigns[0]
        before = state.standing(campaign, NOW).budget
        state.write(campaign, NOW, budget=round(before * (1 + SIGNIFICANT_EDIT)) + past)
        edited = state.learning(campaign, NOW + timedelta(hours=1))["last_sig_edit_ts"]
        assert (edited == int(NOW.timestamp())) is status


def learning_ends(_: object) -> None:
    assert limit("learning_purchases") == LEARNING_CONVERSIONS
    assert limit("learning_days") == LEARNING_DAYS
    state = State(World.make(7, accounts=1))
    campaign = state.world.campaigns[0]
    state.write(campaign, NOW, budget=2 * state.standing(campaign, NOW).budget)
    for hours in range(0, 24 * 6, 6):
        stage = state.learning(campaign, NOW + timedelta(hours=hours))
        assert (stage["status"] == "SUCCESS") is (stage["conversions"] >= LEARNING_CONVERSIONS)
    state.write(campaign, NOW, status="PAUSED")
    later = NOW + timedelta(days=LEARNING_DAYS - 1)
    assert state.learning(campaign, NOW + timedelta(days=1))["status"] == "LEARNING"
    assert later > NOW


def corrected(action: str, advantage: float, *, phase: str = "SUCCESS", factor: float | None = None) -> float:
    """Share of reviews that do not approve `action` where every day has this advantage, in percent."""
    usual = {"scale_up": 1.2, "scale_down": 0.8}.get(action)
    changed = factor or usual
    arguments = {"daily_budget": round(60_000 * changed)} if changed else {}
    # cost and return of these days have the same distance to their targets, 30 and 2
    made = reviewed(level(30 * math.exp(-advantage / 100)), name=action, stage=phase, **arguments)
    found = [expert.review(made, Random(seed))[:1] for seed in range(300)]
    kinds = [verdicts[0].kind for verdicts in found if verdicts]
    return sum(kind != "approve" for kind in kinds) / len(kinds)


NOISE = 100 * expert.NOISE
WEIGHT = expert.YESTERDAY + expert.WEEK


def line(name: str) -> float:
    """The advantage on all days at which the reviewers' own weighing reaches the limit, in percent."""
    return (limit(name) - expert.YESTERDAY * limit("young_day_percent")) / WEIGHT


def raise_advantage(_: object) -> None:
    at = line("raise_advantage_percent")
    assert corrected("scale_up", at - 3 * NOISE) > 0.9
    assert corrected("scale_up", at + 3 * NOISE) < 0.35


def cut_disadvantage(_: object) -> None:
    at = (-limit("cut_disadvantage_percent") - expert.YESTERDAY * limit("young_day_percent")) / WEIGHT
    assert corrected("scale_down", at + 3 * NOISE) > 0.9
    assert corrected("scale_down", at - 3 * NOISE) < 0.35


def pause_disadvantage(_: object) -> None:
    at = (-limit("pause_disadvantage_percent") - expert.YESTERDAY * limit("young_day_percent")) / WEIGHT
    assert corrected("pause", at + 3 * NOISE) > 0.9
    assert corrected("pause", at - 3 * NOISE) < 0.1


def learning_tolerance(_: object) -> None:
    between = 0.5 * limit("raise_advantage_percent") * (limit("learning_tolerance") - 1) / WEIGHT
    at = line("raise_advantage_percent") + between
    assert corrected("scale_up", at, phase="LEARNING") > corrected("scale_up", at, phase="SUCCESS") + 0.2


def young_day(_: object) -> None:
    assert limit("young_day_percent") / 100 == expert.YOUNG
    without = limit("raise_advantage_percent") / WEIGHT  # half of the raises would be refused here
    assert corrected("scale_up", without) < 0.4


def same_amount(_: object) -> None:
    assert math.log(1 + limit("same_amount_percent") / 100) == expert.SAME_AMOUNT
    strong, step = 60.0, 1.30
    within, beyond = (step / (1 + limit("same_amount_percent") / 100 + past) for past in (-0.01, 0.01))
    assert corrected("scale_up", strong, factor=within) < 0.25
    assert corrected("scale_up", strong, factor=beyond) > 0.9


CHECKS: dict[str, Callable] = {
    "largest_raise_percent": largest_raise,
    "largest_cut_percent": largest_cut,
    "smallest_change_percent": smallest_change,
    "smallest_budget_minor": smallest_budget,
    "largest_budget_minor": largest_budget,
    "longest_rationale": longest_rationale,
    "most_cited_metrics": most_cited,
    "longest_finding": longest_finding,
    "longest_range_days": longest_range,
    "most_breakdowns": most_breakdowns,
    "change_history_days": change_history,
    "most_turns": most_turns,
    "most_analyst_calls": most_analyst_calls,
    "analyst_turns": analyst_turns,
    "most_corrections": most_corrections,
    "longest_answer_bytes": longest_answer,
    "tool_seconds": tool_seconds,
    "budget_changes_an_hour": budget_changes,
    "significant_edit_percent": significant_edit,
    "learning_purchases": learning_ends,
    "learning_days": learning_ends,
    "raise_advantage_percent": raise_advantage,
    "cut_disadvantage_percent": cut_disadvantage,
    "pause_disadvantage_percent": pause_disadvantage,
    "learning_tolerance": learning_tolerance,
    "young_day_percent": young_day,
    "same_amount_percent": same_amount,
}
"""What enforces each limit, asked for a value within it and for one beyond."""


def test_every_limit_has_a_check_and_stands_in_the_prompt():
    assert CHECKS.keys() == LIMITS.keys()
    written = "".join(
        part.read_text()
        for part in (files("agent.media_buyer") / "prompt").iterdir()
        if part.name.endswith(".md")
    )
    assert [name for name in LIMITS if f"{{{{{name}}}}}" not in written] == []


@pytest.mark.parametrize("name", CHECKS)
def test_the_check_refuses_what_lies_beyond_the_limit(name, run_script, tools):
    check = CHECKS[name]
    if name in ("longest_answer_bytes", "tool_seconds"):
        check(run_script, tools)
    else:
        check(run_script)


def test_a_name_that_is_no_limit_is_an_error():
    with pytest.raises(LimitsError, match="names no limit"):
        filled("{{largest_mistake}}", LIMITS)


def test_a_folder_without_limits_has_none(tmp_path):
    assert read_limits(tmp_path) == {}
    (tmp_path / "limits.yaml").write_text("a: {value: many}")
    with pytest.raises(LimitsError, match="is no list of limits"):
        read_limits(tmp_path)


def test_the_decision_is_held_against_the_request_and_its_sources():
    decision = read_decision(SPEC, decision_text("hold", "5").text)
    with pytest.raises(InvalidDecision, match=f"the target is '5'; the request is about '{CAMPAIGN}'"):
        check_decision(SPEC, decision, {"campaign_id": CAMPAIGN}, seen())
    for name, value, said in (
        ("metric", "ctr", "cited metric 'ctr' is none of cpa, roas"),
        ("window", "today", "cited window 'today' is none of yesterday"),
        ("source", "get_ads", "'get_ads', which has not answered here"),
    ):
        assert said in (judged("hold", None, cited_metrics=[CITED | {name: value}]) or "")


def test_an_action_needs_what_it_rests_on():
    for action in ("scale_up", "pause", "resume"):
        arguments = {"daily_budget": 1_200_000} if action == "scale_up" else {}
        decision = read_decision(SPEC, decision_text(action, CAMPAIGN, **arguments).text)
        with pytest.raises(InvalidDecision, match="needs an answer of get_insights first"):
            check_decision(SPEC, decision, {"campaign_id": CAMPAIGN}, [])
    assert GenerationConfig().temperature is None
