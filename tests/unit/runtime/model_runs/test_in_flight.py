"""Runs in flight: tried again while something is away, within their deadline, as long as they are wanted."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue

import pytest

from agent.ports import ModelAway, QuotaExceeded
from schemas.errors import RegistryAway
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.runtime.delivery import Delivery
from streams.runtime.model_runs.in_flight import (
    AWAY,
    Execute,
    ModelRun,
    PartitionRevoked,
    PastDeadline,
    ReplayJob,
    RunCancelled,
    RunOutcome,
    Runs,
)
from streams.runtime.model_runs.targets import Targets
from streams.runtime.offsets import PartitionOffsets, Source
from testkit import builders
from tests.unit.stages.replay.replay_samples import arrived, request


class Agent:
    """Raises what it is given, then answers."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.calls = 0

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return builders.trace(request, builders.action())


def flight(seconds: float = 60) -> tuple[ModelRun, PartitionOffsets]:
    asked = ReplayJob(
        request(deadline_at=datetime.now(UTC) + timedelta(seconds=seconds)), builders.decision()
    )
    partition = PartitionOffsets(None)
    return ModelRun(asked, [Delivery(arrived(asked.request), Source("requests", 2), partition)]), partition


def landing(
    one: ModelRun,
    agent: Execute,
    first_wait: float = 0.02,
    is_called_off: Callable[[ReplayRequest], bool] = lambda request: False,
) -> RunOutcome:
    """What came of a run at last, tried as the worker's loop does it."""
    events: SimpleQueue[Callable[[], None]] = SimpleQueue()
    landed: list[RunOutcome] = []

    def land(_: ModelRun, landing: RunOutcome) -> None:
        if not isinstance(landing, AWAY):
            landed.append(landing)

    runs = Runs(agent, Targets(first_wait=first_wait), events.put, land, is_called_off)
    runs.begin(one)
    end = time.monotonic() + 60
    while not landed:
        assert time.monotonic() < end
        for ready in runs.ready:
            runs.begin(ready)
        runs.expire()
        with suppress(Empty):
            events.get(timeout=0.01)()
    return landed[0]


def test_what_is_away_is_asked_again_until_it_answers() -> None:
    agent = Agent(ModelAway("503"), QuotaExceeded("429", retry_after=0.05), RegistryAway("gone"))
    one, _ = flight()
    assert isinstance(landing(one, agent), AgentTrace)
    assert agent.calls == 4


def test_past_its_deadline_nothing_is_asked() -> None:
    agent = Agent()
    assert isinstance(landing(flight(-1)[0], agent), PastDeadline)
    assert agent.calls == 0


def test_waiting_ends_at_the_deadline() -> None:
    agent = Agent(*[ModelAway("503")] * 100)
    assert isinstance(landing(flight(0.5)[0], agent, first_wait=5), PastDeadline)
    assert agent.calls == 1


def test_a_run_that_nobody_wants_is_not_begun() -> None:
    one, partition = flight()
    partition.live = False
    agent = Agent()
    assert isinstance(landing(one, agent), PartitionRevoked)
    assert agent.calls == 0


def test_a_run_that_was_called_off_while_it_waited_is_not_bought() -> None:
    called_off: list[str] = []

    def away(request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        called_off.append(request.replay_id)
        raise ModelAway("503")

    found = landing(flight()[0], away, is_called_off=lambda request: request.replay_id in called_off)
    assert isinstance(found, RunCancelled)
    assert len(called_off) == 1


def test_a_later_cases_word_counts_for_a_run_that_waits() -> None:
    one, _ = flight()
    earlier = one.job
    later = ReplayJob(earlier.request.model_copy(update={"case_number": 3}), earlier.decision)
    one.also_for(later)
    one.also_for(earlier)
    assert one.job is later
    found = landing(one, Agent(), is_called_off=lambda request: request.case_number < 3)
    assert isinstance(found, AgentTrace)


def test_any_other_fault_lands_as_it_is() -> None:
    fault = KeyError("ours")
    assert landing(flight()[0], Agent(fault)) is fault


@pytest.mark.parametrize("committed", [False, True])
def test_a_flight_is_over_when_its_offset_is_committed(committed: bool) -> None:
    one, partition = flight()
    partition.take(7)
    one.stage = "settled"
    one.deliveries[0].done()
    if committed:
        partition.committed = partition.position()
    assert one.is_over is committed
