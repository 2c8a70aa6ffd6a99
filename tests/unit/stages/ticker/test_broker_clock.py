"""The broker's clock, as the ticker knows it."""

import time
from datetime import UTC, datetime, timedelta

from streams.stages.join.step import Join
from streams.stages.ticker.worker import CLOCKED, BrokerClock
from streams.stages.trigger.step import Trigger

THEN = datetime(2020, 2, 2, tzinfo=UTC)


def milliseconds(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def test_before_anything_was_heard_there_is_no_time() -> None:
    assert BrokerClock().now() is None


def test_the_time_goes_on_from_what_the_broker_said() -> None:
    clock = BrokerClock()
    clock.appended(milliseconds(THEN))
    time.sleep(0.05)
    now = clock.now()
    assert now is not None
    assert timedelta(seconds=0.05) <= now - THEN < timedelta(seconds=5)


def test_of_several_brokers_the_slowest_clock_counts_until_the_next_round() -> None:
    clock = BrokerClock()
    clock.appended(milliseconds(THEN + timedelta(minutes=3)))
    clock.appended(milliseconds(THEN))
    first = clock.now()
    assert first is not None
    assert first - THEN < timedelta(seconds=5)
    clock.appended(milliseconds(THEN + timedelta(hours=1)))
    second = clock.now()
    assert second is not None
    assert second - THEN >= timedelta(hours=1)


def test_every_keyed_stage_has_a_clock_over_all_that_it_reads() -> None:
    assert {each.stage: each.sources for each in CLOCKED}.items() >= {
        "join": (*Join.sources, "opoi.retry.join"),
        "trigger": (*Trigger.sources, "opoi.retry.trigger"),
    }.items()
    assert [each.ticks for each in CLOCKED][:2] == ["opoi.ticks.join", "opoi.ticks.trigger"]
