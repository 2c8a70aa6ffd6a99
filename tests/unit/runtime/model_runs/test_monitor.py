"""The monitor: a run that hangs is found, one that nobody wants or that waits on purpose is not."""

import time
from typing import cast

import pytest

from streams.runtime.delivery import Delivery
from streams.runtime.model_runs.in_flight import ModelRun, ReplayJob
from streams.runtime.model_runs.monitor import Monitor
from streams.runtime.model_runs.pause import PauseState, PauseTopic
from streams.runtime.offsets import PartitionOffsets, Source
from streams.runtime.publisher import Publisher
from testkit import builders
from tests.unit.stages.replay.replay_samples import arrived, request

HANG_SECONDS = 5.0


class Operator:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.current = PauseState()

    def refresh(self) -> PauseState:
        return self.current


class Idle:
    """Nothing is being sent."""

    waiting_seconds = 0.0


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def monitor(operator: Operator) -> Monitor:
    return Monitor(cast(PauseTopic, operator), cast(Publisher, Idle()), HANG_SECONDS)


@pytest.fixture
def flight() -> ModelRun:
    """A run that took as long as it may, and a little longer; its budget is a second."""
    asked = ReplayJob(request(), builders.decision())
    one = ModelRun(asked, [Delivery(arrived(asked.request), Source("requests", 2), PartitionOffsets(None))])
    one.stage, one.running_since = "running", time.monotonic() - 2 * 1 - HANG_SECONDS - 0.1
    return one


def test_a_run_far_beyond_its_budget_hangs(monitor: Monitor, flight: ModelRun) -> None:
    found = monitor.hanging([flight])
    assert found is not None
    assert found[0] is flight
    assert str(found[1]) == "the run has not ended after 7 s"


def test_a_run_in_its_time_does_not(monitor: Monitor, flight: ModelRun) -> None:
    flight.running_since += 1
    assert monitor.hanging([flight]) is None


def test_a_run_that_waits_for_what_is_away_does_not(monitor: Monitor, flight: ModelRun) -> None:
    flight.stage = "waiting"
    assert monitor.hanging([flight]) is None


def test_a_run_that_nobody_wants_any_more_hangs_too(monitor: Monitor, flight: ModelRun) -> None:
    flight.deliveries.clear()
    assert monitor.hanging([flight]) is not None


def test_the_operators_last_word_counts(monitor: Monitor, operator: Operator) -> None:
    monitor.update([])
    assert not monitor.paused
    operator.current = PauseState(paused=True, reason="prices")
    monitor.update([])
    assert monitor.paused
    operator.current = PauseState()
    monitor.update([])
    assert not monitor.paused


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"paused": 1}', b"\xff", b'{"paused": true, "at": "noon"}', b"[" * 100_000]
)
def test_a_word_that_is_not_understood_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - every kind of it
        PauseState.parse(value)


def test_a_word_is_read_as_it_was_written() -> None:
    said = PauseState(paused=True, reason="prices", at=request().requested_at)
    assert PauseState.parse(said.value()) == said
