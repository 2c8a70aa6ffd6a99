"""Numbers of a request: read from tool results in the platform's shapes, written out, told apart."""

from typing import Any

import pytest

from local_stack.model.buckets import COLUMN, NO_CONVERSIONS, NO_DELIVERY
from local_stack.model.facts import Facts
from testkit.local_model import CAMPAIGN, DAY, Figures

WEEK = {"entity_id": CAMPAIGN, "date_preset": "last_7d", "time_increment": 1}


def facts(**members: Any) -> Facts:
    found = Facts(campaign_id=CAMPAIGN, day=DAY, cpa_target=20.0, roas_target=2.0, **members)
    found.read_campaign(Figures().answer({"name": "get_campaign", "args": {}}))
    return found


def insights(figures: Figures, arguments: dict[str, Any] = WEEK) -> dict[str, Any]:
    return figures.answer({"name": "get_insights", "args": arguments})


def test_one_answer_by_day_gives_every_shorter_window() -> None:
    found = facts()
    found.read_insights(WEEK, insights(Figures((10, 10, 10, 10, 30, 30, 30), (1, 1, 1, 1, 2, 2, 5))))
    assert found.number("spend", "yesterday") == 30.0
    assert found.number("spend", "last_3d") == 90.0
    assert found.number("cpa", "last_3d") == 10.0
    assert found.number("cpa", "last_7d") == 10.0
    assert found.number("conversions", "last_7d") == 13.0
    assert found.number("pace", "last_3d") == 0.3
    assert found.number("roas", "yesterday") == pytest.approx(5 * 40 / 30, abs=0.005)


def test_the_return_of_a_window_is_weighted_by_spend() -> None:
    found = facts()
    found.read_insights(WEEK, insights(Figures((100.0,) * 6 + (400.0,), (1,) * 6 + (20,))))
    assert found.number("roas", "last_7d") == pytest.approx((6 * 40 + 20 * 40) / 1000)


def test_a_missing_day_is_a_day_without_delivery() -> None:
    found = facts()
    answer = insights(Figures())
    del answer["data"][-1]
    found.read_insights(WEEK, answer)
    assert found.number("spend", "yesterday") == 0.0
    assert found.number("roas", "yesterday") is None
    assert found.number("spend", "last_7d") == 600.0
    assert found.columns()[COLUMN["cpa_1d"]] == NO_DELIVERY


def test_no_purchases_leave_no_cost_but_a_return_of_zero() -> None:
    found = facts()
    found.read_insights(WEEK, insights(Figures(purchases=(5,) * 6 + (0,))))
    assert found.number("cpa", "yesterday") is None
    assert found.number("roas", "yesterday") == 0.0
    assert found.columns()[COLUMN["cpa_1d"]] == NO_CONVERSIONS
    assert "cpa_1d" not in found.surfaces()


def test_a_return_that_was_not_asked_for_is_not_known() -> None:
    found = facts()
    answer = insights(Figures())
    for row in answer["data"]:
        del row["purchase_roas"]
    found.read_insights(WEEK, answer)
    assert found.number("roas", "last_7d") is None
    assert found.columns()[COLUMN["roas_7d"]] == 0


def test_one_row_for_the_window_is_that_window_only() -> None:
    found = facts()
    row = {
        "date_start": "2026-03-03",
        "date_stop": "2026-03-09",
        "spend": "70.00",
        "actions": [{"action_type": "link_click", "value": "90"}, {"action_type": "purchase", "value": "7"}],
        "action_values": [{"action_type": "purchase", "value": "210.00"}],
    }
    found.read_insights({"entity_id": CAMPAIGN, "date_preset": "last_7d"}, {"data": [row]})
    assert found.number("cpa", "last_7d") == 10.0
    assert found.number("roas", "last_7d") == 3.0
    assert found.number("spend", "yesterday") is None


def test_figures_of_another_campaign_are_not_this_ones() -> None:
    found = facts()
    found.read_insights({**WEEK, "entity_id": "act_1"}, insights(Figures()))
    assert not found.windows


@pytest.mark.parametrize(("purchases", "bucket"), [(20, 1), (8, 2), (6, 3), (5, 5), (4, 7), (3, 8), (2, 9)])
def test_levels_are_the_prompts(purchases: int, bucket: int) -> None:
    """Spend 100.00 a day against a target of 20.00; the edges are those of section 4.2 of the prompt."""
    found = facts()
    found.read_insights(WEEK, insights(Figures(purchases=(purchases,) * 7)))
    assert found.columns()[COLUMN["cpa_7d"]] == bucket


def test_each_number_is_written_in_a_way_of_its_own() -> None:
    found = facts()
    found.read_insights(WEEK, insights(Figures()))
    surfaces = found.surfaces()
    assert surfaces["cpa_7d"] == "CPA over the last 7 days at 20.00 USD"
    assert surfaces["conversions_1d"] == "conversions yesterday at 5"
    assert surfaces["budget_now"] == "the daily budget of 100.00 USD"
    assert len(set(surfaces.values())) == len(surfaces)


def test_steps_are_whole_minor_units_and_differ() -> None:
    assert facts().steps()["step+15"] == 11_500
    tiny = facts()
    tiny.daily_budget = 3
    assert len(set(tiny.steps().values())) == len(tiny.steps())
    assert 3 not in tiny.steps().values()


def test_the_budget_of_a_note_is_the_nearest_step() -> None:
    noted = facts(noted_budget=13_100)
    assert noted.columns()[COLUMN["asked"]] == 1 + 4
    assert facts().columns()[COLUMN["asked"]] == 0


@pytest.mark.parametrize(
    ("text", "view"), [("An upward trend, improving", "up"), ("It declines", "down"), ("Nothing new", "flat")]
)
def test_an_analysts_view(text: str, view: str) -> None:
    found = facts()
    found.read_view({"view": text})
    assert found.view == view


def test_strange_answers_change_nothing() -> None:
    found = facts()
    for answer in ({}, {"data": None}, {"data": "rows"}, {"data": [None, 3]}):
        found.read_insights(WEEK, answer)
        assert found.number("cpa", "last_7d") is None
    found.read_campaign({"data": []})
    found.read_view({})
    assert found.daily_budget == 10_000
