"""Closes a case: writes the case, and the disposition of every input that waited for it."""

from datetime import datetime, timedelta
from typing import cast

from schemas.records import CaseState, CaseStatus, Cause, DispositionOutcome, Review
from streams.core.contract import Output, Transition
from streams.core.dependencies import Dependencies
from streams.core.dispositions import DispositionReason, disposition
from streams.stages.trigger.cases import case_output


def close(
    stage: str,
    state: CaseState,
    key: str,
    status: CaseStatus,
    reason: DispositionReason,
    when: datetime,
    own: Cause | None,
    ports: Dependencies,
    remember: timedelta,
) -> Transition[CaseState]:
    """Closes `state` at `when`. `own` None: closed by its deadline."""
    closed = state.model_copy(
        update={
            "issue_number": state.issue_number + 1,
            "phase": "closed",
            "case_emitted": True,
            "stop_reason": reason,
            "closed_status": status,
            "closed_by": own,
            "closed_at": when,
            "pending": (),
            "deadline_at": None,
            "forget_at": when + remember,
        }
    )
    inputs = (*state.pending, *((own,) if own else ()))
    return Transition(closed, (_case(closed, key, ports), *_emitted(stage, inputs, reason, when)))


def closed_again(
    stage: str, state: CaseState, key: str, own: Cause, ports: Dependencies
) -> tuple[Output, ...]:
    """The outputs of closing `state` once more, for a repeat of the input that closed it."""
    assert state.closed_at is not None
    inputs = (state.review_cause, *(one.trace_cause for one in state.requests if one.trace_cause), own)
    return (_case(state, key, ports), *_emitted(stage, inputs, stop_reason(state), state.closed_at))


def stop_reason(state: CaseState) -> DispositionReason:
    """Why the case of `state` closed; the state holds it as text."""
    return cast(DispositionReason, state.stop_reason or "")


def standing(state: CaseState, own: Cause, review: Review) -> tuple[DispositionOutcome, DispositionReason]:
    """What became of the input `own`, which is part of `state` already."""
    if own in state.pending:
        return "pending", review.status if state.phase == "held" else "awaiting_traces"
    if state.phase == "held" and own == state.review_cause:
        return "withdrawn", review.status
    return "emitted", stop_reason(state)


def _emitted(
    stage: str, inputs: tuple[Cause, ...], reason: DispositionReason, when: datetime
) -> tuple[Output, ...]:
    return tuple(disposition(stage, one, "emitted", reason, when) for one in dict.fromkeys(inputs))


def _case(state: CaseState, key: str, ports: Dependencies) -> Output:
    assert state.review is not None
    review = ports.review(state.review)
    decision = ports.decision(review.decision) if review.decision is not None else None
    return case_output(state, key, decision)
