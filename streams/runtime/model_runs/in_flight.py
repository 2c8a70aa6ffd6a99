"""Runs in flight, each in a thread of its own, and runs that wait for what is unreachable."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal, Protocol

from agent.ports import ModelAway, QuotaExceeded
from schemas.errors import BrokerAway, NotRegistered, RegistryAway
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.runtime.delivery import Delivery
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.targets import Permits, Targets

EXPIRE_SECONDS = 0.5
# waited for; anything else that a run raises is a fault of opoi
AWAY = (ModelAway, QuotaExceeded, RegistryAway, NotRegistered, BrokerAway)


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A decoded request and the decision that it embeds."""

    request: ReplayRequest
    decision: AgentDecision


class Execute(Protocol):
    """Runs one replay; called from many threads at once."""

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        """The trace. Raises ModelAway, QuotaExceeded, RegistryAway: the same request is tried again."""


class PartitionRevoked(Exception):
    """The run's partition was revoked before the run began."""


class PastDeadline(Exception):
    """The request's deadline passed before the run began; the text says what it waited for, if anything."""


class RunCancelled(Exception):
    """Another verdict took the place of the request's before the run began."""


RunOutcome = AgentTrace | Exception
Stage = Literal["waiting", "running", "publishing", "settled", "failed"]


@dataclass(eq=False, slots=True)
class ModelRun:
    """One run, and the records that request it; several if a record was delivered again."""

    job: ReplayJob
    deliveries: list[Delivery]
    began: float = field(default_factory=time.monotonic)
    stage: Stage = "waiting"
    """`waiting`: for what is unreachable, without a thread; `settled`: acknowledged, not committed."""
    running_since: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether a record that requests it is still this worker's."""
        return any(delivery.live for delivery in self.deliveries)

    @property
    def is_over(self) -> bool:
        """Whether everything about it is committed."""
        return self.stage == "settled" and all(one.is_committed or not one.live for one in self.deliveries)

    def is_requested_by(self, delivery: Delivery) -> bool:
        """Whether the very record of `delivery` requests it."""
        return any(one.arrived.coordinates == delivery.arrived.coordinates for one in self.deliveries)

    def also_for(self, job: ReplayJob) -> None:
        """A further record requests the same run: of two cases the later one counts."""
        if job.request.case_number > self.job.request.case_number:
            self.job = job

    @property
    def replay_id(self) -> str:
        """Id of the replay."""
        return self.job.request.replay_id

    @property
    def agent(self) -> bytes:
        """Its agent."""
        return agent_of(self.deliveries[0])


def agent_of(delivery: Delivery) -> bytes:
    """The agent of a request that was not read yet, as its message key has it."""
    return (delivery.arrived.key or b"").partition(b"/")[0]


class Runs:
    """The runs of a worker by replay: those under way and those that wait. Belongs to the worker's loop.

    `post` hands a call from a run's thread to the loop. `land` is called with the outcome of each try: a
    trace; one of `AWAY`, after which the run waits; why it was not begun; or what else it raised.
    `is_called_off` is called before each try.
    """

    def __init__(
        self,
        execute: Execute,
        targets: Targets,
        post: Callable[[Callable[[], None]], None],
        land: Callable[[ModelRun, RunOutcome], None],
        is_called_off: Callable[[ReplayRequest], bool] = lambda request: False,
    ) -> None:
        self._execute = execute
        self._targets = targets
        self._post = post
        self._land = land
        self._is_called_off = is_called_off
        self._flights: dict[str, ModelRun] = {}
        self._expired_at = 0.0

    def __iter__(self) -> Iterator[ModelRun]:
        return iter(tuple(self._flights.values()))

    @property
    def busy(self) -> list[ModelRun]:
        """Those that were begun and are not committed."""
        return [flight for flight in self._flights.values() if flight.stage != "waiting"]

    @property
    def waiting(self) -> list[ModelRun]:
        """Those that wait for what is unreachable, in the order in which they are tried."""
        return [flight for flight in self._flights.values() if flight.stage == "waiting"]

    @property
    def ready(self) -> list[ModelRun]:
        """Those that wait and can be tried now."""
        return [flight for flight in self.waiting if self._targets.is_ready(flight.job.request)]

    @property
    def by_agent(self) -> Counter[bytes]:
        """How many runs of each agent are busy."""
        return Counter(flight.agent for flight in self.busy)

    def get(self, replay_id: str) -> ModelRun | None:
        """The run of a replay, if there is one."""
        return self._flights.get(replay_id)

    def begin(self, flight: ModelRun) -> None:
        """Begins the run; it waits if what it needs is unreachable."""
        self._flights.setdefault(flight.replay_id, flight)
        if (over := self._why_not(flight)) is not None:
            self._land(flight, over)
            return
        held = self._targets.acquire(flight.job.request)
        if held is None:
            flight.stage = "waiting"
            return
        flight.running_since = time.monotonic()
        flight.stage = "running"
        request, decision = flight.job.request, flight.job.decision

        def execute() -> None:
            try:
                outcome: RunOutcome = self._execute(request, decision)
            except Exception as error:  # noqa: BLE001 - judged by the worker
                outcome = error
            self._post(partial(self._landed, flight, request, held, outcome))

        # a daemon, so that a run that hangs does not keep a stopped process alive
        threading.Thread(target=execute, name=f"replay-{flight.replay_id}", daemon=True).start()

    def expire(self) -> None:
        """Ends waiting runs that need not wait any more; checks every EXPIRE_SECONDS."""
        if time.monotonic() - self._expired_at < EXPIRE_SECONDS:
            return
        self._expired_at = time.monotonic()
        metrics.WAITING.set(len(self.waiting))
        for flight in self.waiting:
            if (over := self._why_not(flight)) is not None:
                self._land(flight, over)

    def forget(self, flight: ModelRun) -> None:
        """The run is over."""
        del self._flights[flight.replay_id]

    def _why_not(self, flight: ModelRun) -> Exception | None:
        request = flight.job.request
        if not flight.wanted:
            return PartitionRevoked()
        if self._is_called_off(request):
            return RunCancelled()
        if seconds_left(request) <= 0:
            return PastDeadline(self._targets.why_away(request))
        return None

    def _landed(self, flight: ModelRun, request: ReplayRequest, held: Permits, outcome: RunOutcome) -> None:
        if isinstance(outcome, AgentTrace):
            self._targets.success(held)
            metrics.REPLAY_SECONDS.labels(outcome.status).observe(time.monotonic() - flight.running_since)
        elif isinstance(outcome, AWAY):
            metrics.REPLAYS_AWAY.labels(type(outcome).__name__).inc()
            self._targets.failure(request, held, outcome)
            flight.stage = "waiting"
            # to the end, so that another one probes: it may be this one alone that fails
            self._flights[flight.replay_id] = self._flights.pop(flight.replay_id)
        else:
            self._targets.release(held)
        self._land(flight, outcome)


def seconds_left(request: ReplayRequest) -> float:
    """Until the request's deadline; negative past it."""
    return (request.deadline_at - datetime.now(UTC)).total_seconds()
