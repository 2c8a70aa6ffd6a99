"""What a worker goes by beside its requests: cancellations and the spending of a day."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Cancellation, Spending, Usage
from streams.core.budgets import Allowance
from streams.runtime.model_runs.daily_budget import DailySpend, spend_record
from streams.stages.replay.cancellations import Cancellations
from testkit import builders
from tests.unit.stages.replay.replay_samples import request

NOW = datetime.now(UTC)
DAY = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)


def cancellation(case_number: int, hours: float = 1, decision_id: str = "d1") -> Cancellation:
    return Cancellation(
        agent="media_buyer",
        account_id="a1",
        decision_id=decision_id,
        case_number=case_number,
        reason="newer_verdict",
        until=NOW + timedelta(hours=hours),
        cancelled_at=NOW,
    )


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(0, 10))
def test_only_requests_of_earlier_cases_are_called_off_in_whatever_order_it_is_heard(
    numbers: list[int], number: int
) -> None:
    cancelled = Cancellations()
    for each in numbers:
        cancelled.take(cancellation(each))
    assert cancelled.covers(request(case_number=number)) is (number < max(numbers))
    assert not cancelled.covers(request(case_number=number, decision_id="d2"))


def test_a_cancellation_says_nothing_past_its_requests_deadlines() -> None:
    cancelled = Cancellations()
    cancelled.take(cancellation(5, hours=-1))
    assert not cancelled.covers(request(case_number=1))


def test_what_is_over_is_forgotten() -> None:
    cancelled = Cancellations()
    for number in range(3000):
        cancelled.take(cancellation(2, hours=-1, decision_id=f"d{number}"))
    assert len(cancelled) < 1001


def ran(finished_at: datetime, agent: str = "media_buyer") -> Spending:
    usage = Usage(input_tokens=60, output_tokens=40)
    made = builders.trace(request(agent=agent), builders.action(), usage=usage, finished_at=finished_at)
    record = spend_record(made).record
    assert isinstance(record, Spending)
    return record


def test_a_days_budget_is_one_agents_and_ends_at_midnight() -> None:
    spendings = DailySpend()
    allowed = Allowance(tokens=200)
    for _ in range(2):
        assert spendings.why_not("media_buyer", allowed, DAY) is None
        spendings.take(ran(DAY))
    why = spendings.why_not("media_buyer", allowed, DAY)
    assert why is not None
    assert why.startswith("day_budget: budget_tokens is reached on 2026-11-01 (UTC) by media_buyer: 2 runs, ")
    assert "no price known" in why
    assert why.endswith("cases closed today stay closed; new ones run again after midnight UTC")
    assert spendings.why_not("media_buyer", allowed, DAY + timedelta(minutes=1)) is None
    assert spendings.why_not("other", allowed, DAY) is None
    assert spendings.why_not("media_buyer", Allowance(cost_micros=1), DAY) is None


@pytest.mark.parametrize(
    "spent",
    [
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"tokens": -1},
        {"cost_micros": -(2**62)},
        {"attempts": -1},
    ],
)
def test_a_run_that_no_worker_can_have_made_moves_no_budget(spent: dict[str, float]) -> None:
    spendings = DailySpend()
    spendings.take(ran(DAY))
    record = ran(DAY)

    with pytest.raises(ValueError, match="'media_buyer' used a negative or endless amount"):
        spendings.take(record.model_copy(update={"spent": record.spent.model_copy(update=spent)}))

    assert spendings.why_not("media_buyer", Allowance(tokens=100), DAY) is not None
    assert spendings.why_not("media_buyer", Allowance(tokens=101), DAY) is None


def test_a_sum_beyond_all_numbers_is_refused_and_the_budget_stays_used() -> None:
    spendings = DailySpend()
    record = ran(DAY)
    endless = record.model_copy(update={"spent": record.spent.model_copy(update={"tokens": 2**63 - 1})})
    spendings.take(endless)

    with pytest.raises(ValueError, match="tokens"):
        spendings.take(endless)

    assert spendings.why_not("media_buyer", Allowance(tokens=100), DAY) is not None
