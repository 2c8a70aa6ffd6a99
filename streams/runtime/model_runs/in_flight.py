"""Runs in flight: each in a thread of its own, tried again in place while what it needs is away."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from agent.ports import ModelAway, ModelError, QuotaExceeded
from schemas.errors import BrokerAway, NotRegistered, RegistryAway
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.runtime.consumer import Delivery
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.circuit_breaker import Outage

# waited for; anything else that a run raises is our own fault
AWAY = (ModelAway, QuotaExceeded, RegistryAway, NotRegistered, BrokerAway)


@dataclass(frozen=True, slots=True)
class Asked:
    """A decoded request and the decision that it embeds."""

    request: ReplayRequest
    decision: AgentDecision


class Execute(Protocol):
    """Runs one replay; called from many threads at once."""

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        """The trace. Raises ModelAway, QuotaExceeded, RegistryAway: the same request is tried again."""


class Unwanted(Exception):
    """The run's partition went elsewhere before it began."""


class PastDeadline(Exception):
    """The request's deadline passed before the run began."""


class CalledOff(Exception):
    """Another verdict took the place of the request's before the run began."""


Landing = AgentTrace | Exception
Stage = Literal["waiting", "running", "publishing", "settled", "failed"]


@dataclass(eq=False, slots=True)
class Flight:
    """One run in work, and the records that asked for it; more than one where a record came again."""

    asked: Asked
    tickets: list[Delivery]
    began: float = field(default_factory=time.monotonic)
    stage: Stage = "waiting"
    """`waiting`: for what is away; `settled`: acknowledged, but not committed."""
    running_since: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anything that asked for it is still this worker's."""
        return any(ticket.live for ticket in self.tickets)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be committed about it."""
        return self.stage == "settled" and all(one.is_committed or not one.live for one in self.tickets)

    def asked_by(self, ticket: Delivery) -> bool:
        """Whether the very record of `ticket` asked for it."""
        return any(one.arrived.coordinates == ticket.arrived.coordinates for one in self.tickets)

    def also_for(self, asked: Asked) -> None:
        """A further record asks for the same run: of two cases the later one's word counts."""
        if asked.request.case_number > self.asked.request.case_number:
            self.asked = asked

    @property
    def replay_id(self) -> str:
        """The replay."""
        return self.asked.request.replay_id


def take_off(
    flight: Flight,
    execute: Execute,
    outage: Outage,
    land: Callable[[Landing], None],
    is_called_off: Callable[[ReplayRequest], bool] = lambda request: False,
) -> None:
    """Begins the run; `land` is called from its thread with what came of it.

    `is_called_off` is asked before each try, from the run's thread.
    """

    def fly() -> None:
        try:
            landing: Landing = _run(flight, execute, outage, is_called_off)
        except Exception as error:  # noqa: BLE001 - judged by the worker
            landing = error
        land(landing)

    # a daemon, so that a run that hangs does not keep a stopped process alive
    threading.Thread(target=fly, name=f"replay-{flight.replay_id}", daemon=True).start()


def _run(
    flight: Flight, execute: Execute, outage: Outage, is_called_off: Callable[[ReplayRequest], bool]
) -> AgentTrace:
    while True:
        # anew each time: a later case may ask for the same run while this one waits
        request, decision = flight.asked.request, flight.asked.decision
        permit = outage.permit(seconds_left(request))
        if permit is None or seconds_left(request) <= 0:
            if permit is not None:
                outage.unused(permit)
            raise PastDeadline
        if not flight.wanted:
            outage.unused(permit)
            raise Unwanted
        if is_called_off(request):
            outage.unused(permit)
            raise CalledOff
        flight.running_since = time.monotonic()
        flight.stage = "running"
        try:
            trace = execute(request, decision)
        except AWAY as error:
            metrics.REPLAYS_AWAY.labels(type(error).__name__).inc()
            outage.failed(permit, _in_words(error), getattr(error, "retry_after", None))
            flight.stage = "waiting"
        except BaseException:
            outage.unused(permit)
            raise
        else:
            outage.passed(permit)
            metrics.REPLAY_SECONDS.labels(trace.status).observe(time.monotonic() - flight.running_since)
            return trace


def seconds_left(request: ReplayRequest) -> float:
    """Until the request's deadline; negative past it."""
    return (request.deadline_at - datetime.now(UTC)).total_seconds()


def _in_words(error: Exception) -> str:
    tries = f" ({error.attempts} tries)" if isinstance(error, ModelError) and error.attempts > 1 else ""
    return f"{type(error).__name__}: {error}{tries}"
