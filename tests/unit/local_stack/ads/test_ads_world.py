"""The simulated world: money, time and restatement behave like an ad account's."""

import math
import statistics
from datetime import UTC, date, datetime, timedelta

from local_stack.ads.state import State
from local_stack.ads.world import Shift, World, deliver

WORLD = World.make(11, accounts=12)
DAY = date(2026, 3, 5)


def test_ids_are_unique_and_look_like_metas():
    campaigns = WORLD.campaigns
    assert len({one.campaign_id for one in campaigns}) == len(campaigns) == 24
    assert all(one.campaign_id.isdecimal() for one in campaigns)
    assert all(one.account.account_id.startswith("act_") for one in campaigns)


def test_a_day_is_the_same_in_whatever_order_it_is_asked_for():
    campaign = WORLD.campaigns[0]
    first = [deliver(11, (), campaign, DAY + timedelta(days=n), campaign.plan_budget) for n in range(5)]
    deliver.cache_clear()
    again = [
        deliver(11, (), campaign, DAY + timedelta(days=n), campaign.plan_budget) for n in (4, 3, 2, 1, 0)
    ]
    assert first == again[::-1]


def test_nothing_is_spent_without_a_budget():
    assert deliver(11, (), WORLD.campaigns[0], DAY, 0).spend == 0


def costs(shifts=()):
    found = []
    for campaign in WORLD.campaigns:
        for number in range(40):
            day = deliver(11, shifts, campaign, DAY + timedelta(days=number), campaign.plan_budget)
            found.append(math.log(day.spend / max(1, len(day.purchases)) / campaign.target_cpa))
    return found


def test_costs_lie_around_target_and_spread_enough_to_decide_on():
    logs = costs()
    assert abs(statistics.fmean(logs)) < 0.15
    assert 0.3 < statistics.stdev(logs) < 0.6


def test_a_larger_budget_buys_dearer_purchases():
    def cost(factor):
        days = [
            deliver(11, (), one, DAY + timedelta(days=n), round(one.plan_budget * factor))
            for one in WORLD.campaigns
            for n in range(10)
        ]
        return sum(day.spend for day in days) / sum(len(day.purchases) for day in days)

    assert cost(0.5) < cost(1.0) < cost(2.0)


def test_a_shift_changes_its_currency_from_its_day_on():
    shift = (Shift(DAY, cost=1.5, currency="EUR"),)
    for campaign in WORLD.campaigns:
        for day, begun in ((DAY - timedelta(days=1), False), (DAY, True)):
            plain = deliver(11, (), campaign, day, campaign.plan_budget).impressions
            shifted = deliver(11, shift, campaign, day, campaign.plan_budget).impressions
            expected = plain / 1.5 if begun and campaign.account.currency == "EUR" else plain
            assert abs(shifted - expected) <= 1


def test_purchases_come_late_refunds_leave_and_spend_is_settled():
    state = State(WORLD)
    shares, late = [], []
    for campaign in WORLD.campaigns:
        end = campaign.account.day_start(DAY + timedelta(days=1))
        morning, week, later = (
            state.seen(campaign, DAY, end + timedelta(hours=hours)) for hours in (9, 24 * 7, 24 * 60)
        )
        assert morning.spend == week.spend == later.spend > 0
        shares.append(morning.purchases / max(1, week.purchases))
        late.append(week.purchases)
    assert 0.84 < statistics.fmean(shares) < 0.96
    assert sum(late) > 300


def test_a_day_under_way_is_seen_in_part():
    state, campaign = State(WORLD), WORLD.campaigns[0]
    start = campaign.account.day_start(DAY)
    noon, night = (state.seen(campaign, DAY, start + timedelta(hours=hours)) for hours in (12, 24))
    assert noon.spend * 2 - night.spend in (-1, 0, 1)
    assert noon.purchases <= night.purchases
    assert state.seen(campaign, DAY, start).spend == 0


def test_a_change_at_noon_weighs_half_a_day():
    state, campaign = State(WORLD), WORLD.campaigns[0]
    start = campaign.account.day_start(DAY)
    plan = state.standing(campaign, start).budget
    state.write(campaign, start + timedelta(hours=12), budget=plan * 3)
    assert state.paid_budget(campaign, DAY, start + timedelta(days=2)) == plan * 2
    assert state.paid_budget(campaign, DAY, start + timedelta(hours=6)) == plan
    state.write(campaign, start + timedelta(hours=18), status="PAUSED")
    assert state.paid_budget(campaign, DAY, start + timedelta(days=2)) == round(plan * 1.25)


def test_the_learning_phase_ends_with_fifty_purchases():
    state, campaign = State(WORLD), WORLD.campaigns[0]
    edited = datetime(2026, 3, 4, 15, tzinfo=UTC)
    state.write(campaign, edited, budget=state.standing(campaign, edited).budget * 2)
    just_after = state.learning(campaign, edited + timedelta(hours=2))
    assert just_after["status"] == "LEARNING"
    assert just_after["last_sig_edit_ts"] == int(edited.timestamp())
    days = [state.learning(campaign, edited + timedelta(days=n))["status"] for n in range(4)]
    assert (days[0], days[-1]) == ("LEARNING", "SUCCESS")
