"""Which request is next: the fair one, past those that wait for what is away, as far as there is room."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

import pytest

from agent.ports import ModelAway, Target
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.core.contract import Coordinates
from streams.core.message import Message
from streams.runtime.delivery import Delivery
from streams.runtime.model_runs.in_flight import ModelRun, ReplayJob, Runs
from streams.runtime.model_runs.limits import LEAST_WAITING, MOST_WAITING_BYTES, RunLimits
from streams.runtime.model_runs.targets import Targets
from streams.runtime.model_runs.waiting import Waiting
from streams.runtime.offsets import MAX_OPEN, PartitionOffsets, Source
from testkit import builders
from tests.unit.stages.replay.replay_samples import NOW, request

SOURCE = Source("requests", 0)


class Agents:
    """Run until they may end; those that are away say so."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.may_end = threading.Event()

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        if request.agent in self.away:
            raise ModelAway("503", target=Target(f"agent:{request.agent}"))
        self.may_end.wait(30)
        return builders.trace(request, builders.action())


@pytest.fixture
def agents() -> Iterator[Agents]:
    made = Agents()
    yield made
    made.may_end.set()


@pytest.fixture
def events() -> SimpleQueue[Callable[[], None]]:
    return SimpleQueue()


@pytest.fixture
def runs(agents: Agents, events: SimpleQueue[Callable[[], None]]) -> Runs:
    return Runs(agents, Targets(first_wait=30), events.put, lambda flight, landing: None)


@pytest.fixture
def waiting(runs: Runs) -> Waiting:
    return Waiting(runs, RunLimits(concurrency=8))


def delivery(agent: str, offset: int = 0, size: int = 10, source: Source = SOURCE) -> Delivery:
    arrived = Message(
        Coordinates(source.topic, source.partition, offset),
        NOW,
        f"{agent}/d{offset}".encode(),
        b" " * size,
        (),
    )
    return Delivery(arrived, source, PartitionOffsets(None))


def begun(runs: Runs, one: Delivery) -> ModelRun:
    agent = (one.arrived.key or b"").decode().partition("/")[0]
    offset = one.arrived.coordinates.offset
    late = datetime.now(UTC) + timedelta(hours=1)
    asked = ReplayJob(
        request(agent=agent, replay_id=f"{agent}-{offset}", deadline_at=late), builders.decision()
    )
    flight = ModelRun(asked, [one])
    runs.begin(flight)
    return flight


def all_next(runs: Runs, waiting: Waiting, places: int) -> list[str]:
    """What takes the next places, in order."""
    found = []
    for _ in range(places):
        chosen = waiting.next(unread=True)
        if chosen is None:
            break
        assert isinstance(chosen, Delivery)
        waiting.remove(chosen)
        begun(runs, chosen)
        found.append((chosen.arrived.key or b"").decode())
    return found


def test_of_one_agent_the_oldest_is_next(runs: Runs, waiting: Waiting) -> None:
    waiting.add(delivery("one", offset) for offset in range(3))
    assert all_next(runs, waiting, 8) == ["one/d0", "one/d1", "one/d2"]


def test_a_free_place_goes_to_the_agent_with_the_fewest_runs(runs: Runs, waiting: Waiting) -> None:
    for offset in range(6):
        begun(runs, delivery("slow", offset))
    waiting.add(delivery("slow", offset) for offset in range(6, 100))
    waiting.add(delivery("good", offset) for offset in range(100, 104))
    assert all_next(runs, waiting, 4) == ["good/d100", "good/d101", "good/d102", "good/d103"]
    assert all_next(runs, waiting, 2) == ["slow/d6", "slow/d7"], "a place that nobody else wants is its own"


def test_what_waits_for_what_is_away_holds_up_nothing_else(
    runs: Runs, waiting: Waiting, agents: Agents, events: SimpleQueue[Callable[[], None]]
) -> None:
    agents.away = {"away"}
    flights = [begun(runs, delivery("away", offset)) for offset in range(2)]
    for _ in flights:
        events.get(timeout=30)()
    assert [flight.stage for flight in flights] == ["waiting", "waiting"]
    assert (runs.busy, runs.ready) == ([], []), "no place is taken and nothing is tried before its time"
    begun(runs, delivery("away", 2))
    assert len(runs.waiting) == 3, "a further one is not tried at all"
    waiting.add([delivery("good", 3)])
    assert all_next(runs, waiting, 8) == ["good/d3"]


def test_who_failed_goes_behind_the_others(agents: Agents, events: SimpleQueue[Callable[[], None]]) -> None:
    agents.away = {"away"}
    runs = Runs(agents, Targets(first_wait=0.0), events.put, lambda flight, landing: None)
    flights = [begun(runs, delivery("away", offset)) for offset in range(3)]
    while len(runs.waiting) < 3:
        events.get(timeout=30)()
    first = runs.ready[0]
    runs.begin(first)
    events.get(timeout=30)()
    assert runs.ready[0] is not first
    assert runs.ready[-1] is first
    assert len(flights) == 3


def test_requests_are_not_read_while_they_cannot_be(waiting: Waiting) -> None:
    waiting.add([delivery("one")])
    assert waiting.next(unread=False) is None


def test_there_is_room_for_so_many_and_again_when_half_have_gone(runs: Runs, waiting: Waiting) -> None:
    most = RunLimits(concurrency=8).most_waiting
    deliveries = [delivery("one", offset) for offset in range(most)]
    waiting.add(deliveries[:-1])
    assert not waiting.is_full
    waiting.add(deliveries[-1:])
    assert waiting.is_full
    for one in deliveries[: most // 2]:
        waiting.remove(one)
    assert waiting.is_full
    waiting.remove(deliveries[most // 2])
    assert not waiting.is_full


def test_there_is_room_for_so_many_bytes_and_for_one_that_is_larger(waiting: Waiting) -> None:
    large = delivery("one", size=MOST_WAITING_BYTES + 1)
    assert not waiting.is_full
    waiting.add([large])
    assert waiting.is_full
    waiting.remove(large)
    assert not waiting.is_full


@pytest.mark.parametrize("concurrency", [1, 8, 256])
def test_what_waits_and_runs_fits_into_a_commit(concurrency: int) -> None:
    most = RunLimits(concurrency=concurrency).most_waiting
    assert most == LEAST_WAITING or most + concurrency < MAX_OPEN


def test_what_has_gone_elsewhere_is_dropped(waiting: Waiting) -> None:
    other = Source("requests", 1)
    gone = delivery("one", 2)
    gone._partition.live = False
    waiting.add([delivery("one", 1), gone, delivery("one", 3, source=other)])
    waiting.drop(frozenset({SOURCE}))
    chosen = waiting.next(unread=True)
    assert isinstance(chosen, Delivery)
    assert chosen.source == other
