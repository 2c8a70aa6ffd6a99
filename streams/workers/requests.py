"""From a record to a replay that can be run, and from what came of it to records."""

from dataclasses import dataclass

from schemas.errors import Undecodable
from schemas.identity import decision_key
from schemas.records import (
    AgentDecision,
    AgentTrace,
    Cause,
    Disposition,
    DispositionOutcome,
    ReplayRequest,
)
from streams.processors.intake import Arrival, contract_topic
from streams.processors.outputs import BrokenStep, RecordCodec
from streams.steps.common import DISPOSITIONS, disposition
from streams.steps.contract import Output, Poison

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


def cause_of(arrived: Arrival, record_id: str) -> Cause:
    """The record as something that caused another one."""
    at = arrived.coordinates
    return Cause(topic=at.topic, partition=at.partition, offset=at.offset, id=record_id)


def answer(arrived: Arrival, asked: Asked, outcome: DispositionOutcome, reason: str) -> Output:
    """What became of a request."""
    of = cause_of(arrived, asked.request.replay_id)
    return disposition(STAGE, of, outcome, reason, arrived.timestamp)


def traced(arrived: Arrival, asked: Asked, trace: AgentTrace) -> tuple[Output, ...]:
    """What a run gave, and the answer to its request. Raises BrokenStep where it is another run's."""
    request = asked.request
    wanted = (request.replay_id, request.agent, request.decision_id)
    given = (trace.replay_id, trace.agent, trace.decision_id)
    if given != wanted:
        raise BrokenStep(f"replay {wanted} answered with the trace of {given}")
    caused = trace.model_copy(update={"caused_by": (cause_of(arrived, request.replay_id),)})
    key = decision_key(trace.agent, trace.decision_id)
    return Output(TRACES, key, caused), answer(arrived, asked, "emitted", trace.status)


def dead(arrived: Arrival, kind: str) -> Output:
    """The answer to a record that goes to the dead letters; it may have no id."""
    at = arrived.coordinates
    record = Disposition(
        stage=STAGE,
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        outcome="dead",
        reason=kind,
        recorded_at=arrived.timestamp,
    )
    return Output(DISPOSITIONS, f"{STAGE}/{at.topic}/{at.partition}/{at.offset}", record)
