"""Budgets: what runs used, whether that is all they may, and what the next ones get."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Budget, Case, ReplayRequest, Spent, Usage
from streams.core.budgets import Allowance, of_run, spent_by, total, used_up
from streams.core.dependencies import Dependencies
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.step import Trigger
from testkit.builders import action, of_type, trace
from tests.unit.stages.replay.replay_samples import request
from tests.unit.stages.trigger.test_trigger import BUDGET, UP, Table

PRICED = {"usage": Usage(input_tokens=100, output_tokens=20, thought_tokens=5, cost_micros=40), "attempts": 2}

amounts = st.builds(
    Spent,
    runs=st.integers(0, 50),
    attempts=st.integers(0, 10_000),
    tokens=st.integers(0, 10**9),
    seconds=st.integers(0, 10**6).map(float),
    cost_micros=st.none() | st.integers(0, 10**9),
    unpriced_runs=st.integers(0, 50),
)


def bounded(ports: Dependencies, **allowed: Any) -> Table:
    table = Table(ports)
    table.step = Trigger(TriggerRules(budget=BUDGET, case_budget=Allowance(**allowed)), ports)
    return table


def test_a_run_counts_its_tokens_in_and_out_and_its_tries() -> None:
    ran = trace(request(), action(), **PRICED)
    assert spent_by(ran) == Spent(runs=1, attempts=2, tokens=125, seconds=1.0, cost_micros=40)
    unpriced = spent_by(trace(request(), action()))
    assert (unpriced.cost_micros, unpriced.unpriced_runs) == (None, 1)
    not_run = spent_by(trace(request(), None, attempts=0))
    assert (not_run.attempts, not_run.unpriced_runs) == (0, 0)


@given(st.lists(amounts), st.lists(amounts))
def test_sums_do_not_care_how_they_are_grouped(one: list[Spent], other: list[Spent]) -> None:
    assert total([total(one), total(other)]) == total([*one, *other])
    assert total([*one, *other]) == total([*reversed(other), *reversed(one)])


@given(amounts, amounts)
def test_what_is_used_up_stays_so(spent: Spent, more: Spent) -> None:
    allowed = Allowance(attempts=100, tokens=10**6, seconds=1000.0, cost_micros=10**6)
    assert used_up(Allowance(), spent) is None
    if used_up(allowed, spent):
        assert used_up(allowed, total([spent, more]))


@given(amounts, st.integers(1, 20), st.none() | st.integers(0, 10**8))
def test_runs_asked_for_together_share_what_is_left(spent: Spent, runs: int, money: int | None) -> None:
    case = Allowance(attempts=1000, tokens=10**7, seconds=10_000.0, cost_micros=money)
    one = of_run(BUDGET, case, spent, runs)
    for name, most, used in (
        ("max_turns", 1000, spent.attempts),
        ("max_output_tokens", 10**7, spent.tokens),
        ("max_seconds", 10_000, spent.seconds),
    ):
        assert 1 <= getattr(one, name) <= getattr(BUDGET, name)
        assert getattr(one, name) == 1 or getattr(one, name) * runs <= most - used
    if money is None:
        assert one.max_cost_micros is None
    else:
        assert one.max_cost_micros == max(1, (money - (spent.cost_micros or 0)) // runs)


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        ({"attempts": 6}, "budget_attempts"),
        ({"tokens": 375}, "budget_tokens"),
        ({"seconds": 3.0}, "budget_seconds"),
        ({"cost_micros": 120}, "budget_cost"),
    ],
)
def test_a_case_stops_where_its_budget_is_used_up(
    ports: Dependencies, allowed: dict[str, Any], reason: str
) -> None:
    table = bounded(ports, **allowed)
    table.review()
    for sample in range(3):
        outputs = table.answer("unhinted", 0, sample, action(), **PRICED)
    [case] = of_type(outputs, Case)
    assert (case.status, case.stop_reason) == ("complete", reason)
    assert case.spent == Spent(runs=3, attempts=6, tokens=375, seconds=3.0, cost_micros=120)


def test_a_hit_counts_although_it_used_up_the_budget(ports: Dependencies) -> None:
    table = bounded(ports, attempts=6)
    table.review()
    for sample in range(3):
        outputs = table.answer("unhinted", 0, sample, UP, **PRICED)
    [case] = of_type(outputs, Case)
    assert case.stop_reason == "unhinted_hit"


def test_without_a_price_money_is_not_bounded_and_the_case_says_so(ports: Dependencies) -> None:
    table = bounded(ports, cost_micros=1)
    table.review()
    for sample in range(3):
        outputs = table.answer("unhinted", 0, sample, action())
    assert of_type(outputs, ReplayRequest)
    [case] = of_type(table.answer("opoi", 1, 0, UP), Case)
    assert (case.spent.cost_micros, case.spent.unpriced_runs) == (None, 4)


def test_a_day_whose_budget_is_used_up_ends_the_case_with_what_it_has(ports: Dependencies) -> None:
    table = bounded(ports)
    table.review()
    table.answer("unhinted", 0, 0, action())
    for sample in (1, 2):
        outputs = table.answer(
            "unhinted", 0, sample, None, status="exhausted", attempts=0, reason="day_budget: budget_cost is …"
        )
    [case] = of_type(outputs, Case)
    assert case.stop_reason == "budget_day"


def test_a_repeated_input_repeats_the_budget_too(ports: Dependencies) -> None:
    table = bounded(ports, tokens=5000)
    table.review()
    for sample in range(3):
        outputs = table.answer("unhinted", 0, sample, action(), **PRICED)
    asked_by, asked = table.fed[-1], of_type(outputs, ReplayRequest)
    assert asked[0].budget == Budget(max_turns=10, max_output_tokens=1000, max_seconds=60)
    for sample in range(2):
        usage = Usage(input_tokens=2000, output_tokens=20)
        table.answer("opoi", 1, sample, action(), usage=usage)
    assert table.state is not None
    assert of_type(table.step.on_event(table.state, asked_by).outputs, ReplayRequest) == asked


def test_a_cases_deadline_and_a_days_end_are_not_mixed_up(ports: Dependencies) -> None:
    table = bounded(ports)
    table.review()
    assert table.state is not None
    due = table.step.deadline(table.state)
    assert due is not None
    [case] = of_type(
        table.step.on_deadline(table.state, "media_buyer/d1", due + timedelta(seconds=1)).outputs, Case
    )
    assert (case.stop_reason, case.spent) == ("deadline", Spent())
