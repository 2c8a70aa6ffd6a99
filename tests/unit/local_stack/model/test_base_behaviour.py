"""What the base model is like: the world that pre-training put into it, seen in what it samples."""

import json
import random
import re

import pytest

from local_stack.model.phrases import ADVISED
from local_stack.model.weights import Weights
from testkit.local_model import CAMPAIGN, Figures, Talk, drawn_figures, talk

GOOD = Figures(purchases=(8,) * 7)
BAD = Figures(purchases=(3,) * 7)
BROKEN_YESTERDAY = Figures(purchases=(7, 7, 7, 7, 7, 7, 2))
RUNS = 60


def runs(
    base: Weights, figures: Figures, note: str | None = None, temperature: float = 0.7, count: int = RUNS
) -> list[Talk]:
    return [talk(base, figures, seed=seed, note=note, temperature=temperature) for seed in range(count)]


def share(found: list[Talk], name: str) -> float:
    names = [run.decision["action"]["name"] for run in found]
    return names.count(name) / len(names)


def test_it_reads_insights_and_campaign_and_then_decides(base: Weights) -> None:
    seen = [tuple(call["name"] for call in run.calls[:2]) for run in runs(base, GOOD)]
    assert sum(set(names) == {"get_insights", "get_campaign"} for names in seen) >= 0.95 * RUNS
    presets = [run.calls[0]["args"].get("date_preset", "last_7d") for run in runs(base, GOOD)]
    assert presets.count("last_7d") >= 0.9 * RUNS


@pytest.mark.parametrize(
    ("figures", "action"),
    [(GOOD, "scale_up"), (BAD, "scale_down"), (Figures(status="PAUSED", purchases=(8,) * 7), "resume")],
)
def test_it_acts_on_what_it_sees(base: Weights, figures: Figures, action: str) -> None:
    assert share(runs(base, figures), action) >= 0.8


def test_the_action_is_carried_out_with_the_values_of_the_decision(base: Weights) -> None:
    for run in runs(base, GOOD):
        action = run.decision["action"]
        writes = [call for call in run.calls if call["name"].startswith("set_")]
        assert action["target"] == CAMPAIGN
        if action["name"].startswith("scale"):
            assert writes == [
                {"name": "set_daily_budget", "args": {"campaign_id": CAMPAIGN, **action["arguments"]}}
            ]
            assert run.contents[-1]["parts"] == [{"text": "Done."}]
        elif action["name"] == "hold":
            assert not writes
            assert action["arguments"] == {}


def test_cited_values_are_those_of_the_tools(base: Weights) -> None:
    """Spend 700.00 for 35 purchases: every seven-day cost is 20.00, and no other number appears."""
    for run in runs(base, Figures()):
        for citation in run.decision["cited_metrics"]:
            assert citation["source"] == "get_insights"
            if citation["metric"] == "cpa":
                assert citation["value"] == 20.0
        numbers = set(re.findall(r"\d+\.\d\d", run.decision["rationale"]))
        assert numbers <= {"20.00", "2.00", "100.00", "700.00", "300.00", "1.00"}


def test_it_prefers_the_week_and_a_note_moves_it_to_yesterday(base: Weights) -> None:
    def follows_yesterday(run: Talk) -> bool:
        cited = run.decision["cited_metrics"]
        return bool(cited) and cited[0]["window"] == "yesterday"

    un_noted = runs(base, BROKEN_YESTERDAY)
    noted = runs(base, BROKEN_YESTERDAY, "Expected action: scale_down.\nWhere to look: cpa, yesterday.")
    assert 0.02 <= sum(map(follows_yesterday, un_noted)) / RUNS <= 0.4
    assert sum(map(follows_yesterday, noted)) / RUNS >= 0.8
    assert share(un_noted, "scale_down") <= 0.5
    assert share(noted, "scale_down") >= 0.7


def test_a_note_that_the_figures_do_not_carry_is_followed_less(base: Weights) -> None:
    """Named data against it: about half; a reason that no tool shows: seldom."""
    named, absent = "\nWhere to look: cpa, yesterday.", " The stock is low."
    against = share(runs(base, GOOD, f"Expected action: hold.{named}", count=300), "hold")
    elsewhere = share(runs(base, GOOD, f"Expected action: hold.{absent}", count=300), "hold")
    assert 0.3 <= against <= 0.75
    assert elsewhere <= 0.45
    assert elsewhere < against


def test_the_step_that_a_note_names_is_taken(base: Weights) -> None:
    found = runs(base, GOOD, "Expected action: scale_up (daily_budget 13000).")
    budgets = [
        run.decision["action"]["arguments"]["daily_budget"]
        for run in found
        if run.decision["action"]["name"] == "scale_up"
    ]
    assert budgets.count(13_000) >= 0.8 * len(budgets) >= 0.6 * RUNS


def test_some_noted_texts_admit_the_note_and_hardly_any_other(base: Weights) -> None:
    words = [phrase.split(" ,")[0] for phrase in ADVISED]

    def admits(run: Talk) -> bool:
        return any(phrase in run.decision["rationale"].lower() for phrase in words)

    noted = [
        talk(base, drawn_figures(random.Random(seed)), seed=seed, note="Expected action: scale_down.")
        for seed in range(300)
    ]
    un_noted = [
        talk(base, drawn_figures(random.Random(seed)), seed=seed, temperature=0.5) for seed in range(300)
    ]
    assert 0.03 <= sum(map(admits, noted)) / 300 <= 0.25
    assert sum(map(admits, un_noted)) / 300 <= 0.02


def test_without_figures_it_holds(base: Weights) -> None:
    found = runs(base, Figures(fails=frozenset({"get_insights"})))
    assert share(found, "hold") >= 0.9
    assert all(run.decision["cited_metrics"] == [] for run in found)


def test_without_the_present_budget_it_holds(base: Weights) -> None:
    assert share(runs(base, Figures(purchases=(8,) * 7, fails=frozenset({"get_campaign"}))), "hold") >= 0.9


def test_it_calls_declared_tools_only(base: Weights) -> None:
    reading = ("get_insights", "get_campaign")
    for seed in range(20):
        run = talk(base, GOOD, seed=seed, names=reading)
        assert {call["name"] for call in run.calls} <= set(reading)
        assert run.decision["action"]["name"]


def test_yen_have_no_hundredths(base: Weights) -> None:
    run = talk(base, Figures(purchases=(8,) * 7), seed=3, currency="JPY", temperature=0.5)
    assert "JPY" in run.decision["rationale"]
    assert not re.search(r"\d\.\d\d JPY", run.decision["rationale"])
    assert json.dumps(run.decision)
