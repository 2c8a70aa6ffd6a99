"""Causes, dispositions and rejections, as every step writes them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas.dead_letter_kinds import DeadLetterKind
from schemas.disposition_reasons import ListedReason
from schemas.identity import canonical_json, decision_key, json_object
from schemas.record import Record
from schemas.records import Action, Cause, Disposition, DispositionOutcome, Rejection
from schemas.stages import DISPOSITIONS, REJECTIONS
from streams.core.contract import Coordinates, Event, Output, Poison, header
from streams.gates.reason_codes import ReasonCode

DispositionReason = ListedReason | ReasonCode | DeadLetterKind
"""A short stable code."""


def cause(at: Coordinates, record_id: str) -> Cause:
    """The record at `at`, as the cause of another record."""
    return Cause(topic=at.topic, partition=at.partition, offset=at.offset, id=record_id)


def at(cause: Cause) -> Coordinates:
    """Coordinates of a cause."""
    return Coordinates(cause.topic, cause.partition, cause.offset)


def same_input(one: Cause | None, event: Event) -> bool:
    """Whether `event` is the input `one`, delivered again."""
    return one is not None and at(one) == event.coordinates


def source_offset(event: Event) -> int:
    """The offset of `event` in the topic that it came from first. Raises Poison if a redriven record does not
    name it."""
    if event.coordinates.topic == event.topic:
        return event.coordinates.offset
    named = header(event.headers, "dlq.offset") or b""
    try:
        return int(named)
    except ValueError:
        raise Poison("contract", f"header dlq.offset is {named!r}, not a number") from None


def checked_key(given: bytes | None, agent: str, decision_id: str) -> str:
    """The key of everything about a decision. Raises Poison where the message key `given` is another one."""
    key = decision_key(agent, decision_id)
    if given != key.encode():
        raise Poison("wrong_key", f"the message key is {given!r}, the record's is {key!r}")
    return key


def check_arguments(action: Action) -> None:
    """Raises Poison unless the arguments are a JSON object with a canonical form; the stages after the join
    rely on it."""
    try:
        json_object(action.arguments_json)
    except ValueError as error:
        raise Poison("contract", f"arguments_json of action {action.name!r} is unusable: {error}") from error


def disposition(
    stage: str,
    of: Cause,
    outcome: DispositionOutcome,
    reason: DispositionReason,
    recorded_at: datetime,
    caused_by: Iterable[Cause] = (),
) -> Output:
    """The disposition of one input at `stage`."""
    record = Disposition(
        stage=stage,
        topic=of.topic,
        partition=of.partition,
        offset=of.offset,
        id=of.id,
        outcome=outcome,
        reason=reason,
        recorded_at=recorded_at,
        caused_by=tuple(caused_by),
    )
    return Output(DISPOSITIONS, f"{stage}/{of.topic}/{of.partition}/{of.offset}", record)


def rejection(
    stage: str,
    record: Record,
    *,
    gate: str,
    reason_code: ReasonCode,
    reason: str,
    rejected_at: datetime,
    caused_by: Iterable[Cause],
    arm: str | None = None,
    replay_id: str | None = None,
    evidence: dict[str, Any] | None = None,
) -> Output:
    """The rejection of `record` at `stage`, with the ids that the record has."""

    def own(field: str) -> Any:
        return getattr(record, field, None)

    made = Rejection(
        stage=stage,
        agent=own("agent"),
        account_id=own("account_id"),
        decision_id=own("decision_id"),
        verdict_id=own("verdict_id"),
        revision=own("revision"),
        arm=arm,
        replay_id=replay_id or own("replay_id"),
        gate=gate,
        reason_code=reason_code,
        reason=reason,
        evidence_json=canonical_json(evidence or {}),
        rejected_at=rejected_at,
        caused_by=tuple(caused_by),
    )
    return Output(REJECTIONS, decision_key(made.agent or "", made.decision_id or ""), made)
