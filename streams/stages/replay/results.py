"""Builds and writes the outputs of the replay worker: traces, dispositions, dead letters."""

from collections.abc import Callable
from typing import Any

import structlog

from schemas.catalog import topics
from schemas.errors import Undecodable
from schemas.identity import decision_key
from schemas.log_events import OUTPUTS_BROKEN
from schemas.record import Record
from schemas.records import AgentTrace, DispositionOutcome, ReplayRequest, TraceStatus, Usage
from streams.core.contract import Coordinates, Output, Poison
from streams.core.dispositions import DispositionReason, cause, disposition
from streams.core.message import Message, trace_headers
from streams.core.unread import Unread
from streams.runtime import metrics
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.dead_letters import DeadLetters, Letter
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import ExitCode, fail_stop
from streams.runtime.model_runs.daily_budget import spend_record
from streams.runtime.model_runs.in_flight import PastDeadline, ReplayJob, RunCancelled, RunOutcome
from streams.runtime.outputs import BrokenStep, RecordCodec
from streams.runtime.publisher import Publication, Publisher
from streams.stages.replay.requests import STAGE, read_request, request_if_readable

TRACES = "opoi.traces"

log = structlog.get_logger(__name__)


class Results:
    """Publishes outputs, and marks deliveries as done when everything is acknowledged."""

    def __init__(self, publisher: Publisher, guards: CrashGuard) -> None:
        self.unacknowledged = 0
        self._publisher = publisher
        self._guards = guards
        self._letters = DeadLetters(STAGE, topics())

    def send(
        self,
        deliveries: list[Delivery],
        outputs: tuple[Output, ...],
        *,
        request: ReplayRequest | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes `outputs` about `deliveries`, all of them one record; `then` runs when they are settled.

        If the outputs do not fit, the record goes to the dead letters; `request` is its request.
        """

        def acknowledged() -> None:
            self._guards.breaker.good()
            self._settled(deliveries, then)

        def refused(poison: Poison) -> None:
            self.unacknowledged -= 1
            self.bury(deliveries, poison, request, then=then)

        self._put(deliveries, outputs, acknowledged, refused)

    def bury(
        self,
        deliveries: list[Delivery],
        poison: Poison,
        request: ReplayRequest | None,
        *,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Sends a record to the dead letters; ends the process if the dead-letter limit trips.

        `request`: its request, if it can be read; a trace then says that it was not run.
        """
        arrived, at = deliveries[0].arrived, deliveries[0].arrived.coordinates
        if why := self._guards.breaker.refuse():
            self._guards.mark.clear()
            fail_stop(
                ExitCode.BREAKER,
                f"stage {STAGE} stops: {why}; the last one ({at.topic}-{at.partition} at {at.offset}): "
                f"{poison.kind}: {poison.reason}",
            )
        letter = self._letters.letter_of(arrived, kind=poison.kind, reason=poison.reason)

        def buried() -> None:
            self._guards.deaths.forget(at)
            self._letters.sent(letter)
            self._settled(deliveries, then)

        def refused(_: Poison) -> None:
            # the request has ids that fit into no output: then only the dead letter tells
            self.unacknowledged -= 1
            self._put(deliveries, dispositions(None), buried, letter=letter)

        def dispositions(record_id: str | None) -> tuple[Output, ...]:
            return self._letters.dispositions(letter, arrived.value, arrived.timestamp, record_id)

        outputs = [*dispositions(request.replay_id if request else None)]
        if request is not None:
            reason = f"dead_letter: {poison.kind}: {poison.reason}"
            outputs.insert(0, skipped_trace(arrived, request, "failed", reason))
        self._put(deliveries, tuple(outputs), buried, refused, letter)

    def _put(
        self,
        deliveries: list[Delivery],
        outputs: tuple[Output, ...],
        acknowledged: Callable[[], None],
        refused: Callable[[Poison], None] | None = None,
        letter: Letter | None = None,
    ) -> None:
        arrived = deliveries[0].arrived
        self.unacknowledged += 1

        def broken(error: Exception) -> None:
            OUTPUTS_BROKEN.emit(log, exc_info=error, **log_fields(arrived.coordinates))
            self._guards.mark.set(arrived.coordinates)
            fail_stop(ExitCode.OWN_FAULT, own_fault_text(arrived.coordinates, error))

        headers = trace_headers(arrived.headers)
        self._publisher.put(
            Publication(outputs, arrived.timestamp, acknowledged, refused or broken, broken, letter, headers)
        )

    def _settled(self, deliveries: list[Delivery], then: Callable[[], None]) -> None:
        at = deliveries[0].arrived.coordinates
        self.unacknowledged -= 1
        for delivery in deliveries:
            delivery.done()
        self._guards.harmless(at)
        metrics.EVENTS.labels(STAGE, at.topic).inc()
        then()


def read_or_dead_letter(
    delivery: Delivery, codec: RecordCodec, guards: CrashGuard, results: Results
) -> ReplayJob | None:
    """The request in a record; None if the record went to the dead letters. Raises RegistryAway."""
    at = delivery.arrived.coordinates
    try:
        if why := guards.why_dead(at):
            raise Poison("killed_the_process", why)
        if isinstance(value := delivery.arrived.value, Unread):
            results.bury([delivery], Poison(value.kind, value.reason), None)
            return None
        return read_request(codec, delivery.arrived)
    except (Undecodable, Poison) as poison:
        request = request_if_readable(codec, delivery.arrived) if guards.may_be_read(at) else None
        results.bury([delivery], Poison(poison.kind, poison.reason), request)
        return None


def log_fields(at: Coordinates) -> dict[str, Any]:
    """Coordinates as fields of a log line."""
    return {"topic": at.topic, "partition": at.partition, "offset": at.offset}


def own_fault_text(at: Coordinates, error: Exception) -> str:
    """The message about a record that reveals a fault of ours."""
    return (
        f"stage {STAGE} failed on {at.topic}-{at.partition} at {at.offset} "
        f"({type(error).__name__}: {error}); stopping before it is acknowledged"
    )


def disposition_of(
    arrived: Message, job: ReplayJob, outcome: DispositionOutcome, reason: DispositionReason
) -> Output:
    """The disposition of a request."""
    of = cause(arrived.coordinates, job.request.replay_id)
    return disposition(STAGE, of, outcome, reason, arrived.timestamp)


def outputs_of(arrived: Message, job: ReplayJob, outcome: RunOutcome) -> tuple[Output, ...]:
    """The outputs of a finished run. Raises BrokenStep, and whatever the run raised."""
    if isinstance(outcome, RunCancelled):
        return cancelled_outputs(arrived, job)
    if isinstance(outcome, PastDeadline):
        return past_deadline_outputs(arrived, job, str(outcome))
    if isinstance(outcome, Exception):
        raise outcome
    return trace_outputs(arrived, job, outcome)


def trace_outputs(arrived: Message, job: ReplayJob, trace: AgentTrace) -> tuple[Output, ...]:
    """Trace, spending and disposition of a run. Raises BrokenStep if the trace is another request's."""
    request = job.request
    wanted = (request.replay_id, request.agent, request.decision_id)
    given = (trace.replay_id, trace.agent, trace.decision_id)
    if given != wanted:
        raise BrokenStep(f"replay {wanted} answered with the trace of {given}")
    caused = trace.model_copy(
        update={
            "caused_by": (cause(arrived.coordinates, request.replay_id),),
            "case_number": request.case_number,
        }
    )
    key = decision_key(trace.agent, trace.decision_id)
    said = disposition_of(arrived, job, "emitted", trace.status)
    if trace.attempts == 0:
        return Output(TRACES, key, caused), said
    return Output(TRACES, key, caused), spend_record(caused), said


def skipped_trace(arrived: Message, request: ReplayRequest, status: TraceStatus, reason: str) -> Output:
    """The trace of a request that is not run; without it its case would wait."""
    trace = AgentTrace(
        agent=request.agent,
        account_id=request.account_id,
        decision_id=request.decision_id,
        verdict_id=request.verdict_id,
        revision=request.revision,
        replay_id=request.replay_id,
        arm=request.arm,
        strength=request.strength,
        sample=request.sample,
        target=request.target,
        status=status,
        reason=reason,
        usage=Usage(),
        attempts=0,
        started_at=arrived.timestamp,
        finished_at=arrived.timestamp,
        case_number=request.case_number,
        caused_by=(cause(arrived.coordinates, request.replay_id),),
    )
    return Output(TRACES, decision_key(trace.agent, trace.decision_id), trace)


def cancelled_outputs(arrived: Message, job: ReplayJob) -> tuple[Output, ...]:
    """The outputs of a request that a newer verdict cancelled; no case waits for it."""
    return (disposition_of(arrived, job, "superseded", "cancelled"),)


def past_deadline_outputs(arrived: Message, job: ReplayJob, waited_for: str = "") -> tuple[Output, ...]:
    """The outputs of a request whose deadline passed before it ran; the trace says what it waited for."""
    request = job.request
    why = f"; {waited_for}" if waited_for else ""
    reason = f"deadline: {request.deadline_at.isoformat()} has passed{why}"
    trace = skipped_trace(arrived, request, "exhausted", reason)
    return trace, disposition_of(arrived, job, "superseded", "past_deadline")


def without_turns(record: Record, reason: str) -> Record | None:
    """The rest of a trace that does not fit into its topic; None for other records."""
    if not isinstance(record, AgentTrace):
        return None
    return record.model_copy(
        update={
            "status": "failed",
            "reason": f"too_large: {reason}",
            "turns": (),
            "sub_agent_runs": (),
            "intended_writes": (),
            "action": None,
            "rationale": None,
        }
    )
