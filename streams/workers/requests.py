"""From a record to a replay that can be run, and from what came of it to records."""

from dataclasses import dataclass

from schemas.errors import Undecodable
from schemas.identity import decision_key
from schemas.record import Record
from schemas.records import (
    AgentDecision,
    AgentTrace,
    Disposition,
    DispositionOutcome,
    ReplayRequest,
    TraceStatus,
    Usage,
)
from streams.processors.intake import Arrival, contract_topic
from streams.processors.outputs import BrokenStep, RecordCodec
from streams.steps.common import DISPOSITIONS, cause, disposition
from streams.steps.contract import Output, Poison
from streams.workers.day_spending import spending

STAGE = "replay"
REQUESTS = "opoi.replay-requests"
RETRY = "opoi.retry.replay"
TRACES = "opoi.traces"
DECISIONS = "agent.decisions"


@dataclass(frozen=True, slots=True)
class Asked:
    """A decoded request and the decision that it embeds."""

    request: ReplayRequest
    decision: AgentDecision


def read_request(codec: RecordCodec, arrived: Arrival) -> Asked:
    """The replay that a record asks for. Raises Poison, Undecodable, RegistryAway."""
    topic = contract_topic(arrived, (REQUESTS,))
    request = codec.decode(topic, arrived.value)
    assert isinstance(request, ReplayRequest)
    key = decision_key(request.agent, request.decision_id)
    if arrived.key != key.encode():
        raise Poison("wrong_key", f"the message key is {arrived.key!r}, the record's is {key!r}")
    try:
        decision = codec.decode(DECISIONS, request.decision)
    except Undecodable as error:
        raise Poison(error.kind, f"the embedded decision: {error.reason}") from error
    assert isinstance(decision, AgentDecision)
    embedded = decision_key(decision.agent, decision.decision_id)
    if embedded != key:
        raise Poison("contract", f"the request is about {key!r}, the decision that it embeds is {embedded!r}")
    return Asked(request, decision)


def answer(arrived: Arrival, asked: Asked, outcome: DispositionOutcome, reason: str) -> Output:
    """What became of a request."""
    of = cause(arrived.coordinates, asked.request.replay_id)
    return disposition(STAGE, of, outcome, reason, arrived.timestamp)


def traced(arrived: Arrival, asked: Asked, trace: AgentTrace) -> tuple[Output, ...]:
    """What a run gave and used, and the answer. Raises BrokenStep where it is another request's run."""
    request = asked.request
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
    said = answer(arrived, asked, "emitted", trace.status)
    if trace.attempts == 0:
        return Output(TRACES, key, caused), said
    return Output(TRACES, key, caused), spending(caused), said


def given_up(arrived: Arrival, request: ReplayRequest, status: TraceStatus, reason: str) -> Output:
    """The trace of a request that is not run, so that its case does not wait; always the same."""
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


def cancelled(arrived: Arrival, asked: Asked) -> tuple[Output, ...]:
    """What becomes of a request that another verdict called off; no case waits for it any more."""
    return (answer(arrived, asked, "superseded", "cancelled"),)


def past_deadline(arrived: Arrival, asked: Asked) -> tuple[Output, ...]:
    """What becomes of a request whose deadline passed before it was run."""
    request = asked.request
    trace = given_up(arrived, request, "exhausted", f"deadline: {request.deadline_at.isoformat()} has passed")
    return trace, answer(arrived, asked, "superseded", "past_deadline")


def named_in(codec: RecordCodec, arrived: Arrival) -> ReplayRequest | None:
    """The request in a record that is given up, as far as it can be read. Raises RegistryAway."""
    try:
        found = codec.decode(contract_topic(arrived, (REQUESTS,)), arrived.value)
    except (Poison, Undecodable):
        return None
    assert isinstance(found, ReplayRequest)
    return found


def without_turns(record: Record, reason: str) -> Record | None:
    """What still goes out of a trace that its topic cannot carry; None for other records."""
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


def dead(arrived: Arrival, kind: str, request: ReplayRequest | None = None) -> Output:
    """The answer to a record that goes to the dead letters; without `request` it has no id."""
    at = arrived.coordinates
    record = Disposition(
        stage=STAGE,
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        id=request.replay_id if request else None,
        outcome="dead",
        reason=kind,
        recorded_at=arrived.timestamp,
    )
    return Output(DISPOSITIONS, f"{STAGE}/{at.topic}/{at.partition}/{at.offset}", record)
