"""A newer verdict replaces a case: closes the inputs of the case before and cancels its requests.

Cases of a decision are numbered. A cancellation means "no request below this number", so it cannot hit the
requests of a verdict that counts again, in whatever order a worker reads the two topics.
"""

from datetime import datetime

from schemas.identity import decision_key
from schemas.records import AgentTrace, Cancellation, CaseState, Cause, DispositionOutcome, Review
from streams.core.contract import Event, Output
from streams.core.dependencies import Dependencies
from streams.core.dispositions import disposition, source_offset

CANCELLATIONS = "opoi.cancellations"
REVIEWS = "opoi.reviews"


def inherit_from(fresh: CaseState, before: CaseState | None) -> CaseState:
    """`fresh` as the case after `before`; it keeps what it replaces, so that a repeat can repeat it."""
    if before is None:
        return fresh.model_copy(update={"case_number": 1})
    is_open = any(one.status is None for one in before.requests)
    return fresh.model_copy(
        update={
            "case_number": before.case_number + 1,
            "issue_number": before.issue_number,
            "case_emitted": before.case_emitted,
            "replaced": before.pending,
            "cancels_until": before.deadline_at if is_open else None,
        }
    )


def close_superseded(
    stage: str, state: CaseState, review: Review, own: Cause, when: datetime
) -> tuple[Output, ...]:
    """Closes inputs of the case before, and cancels its open requests. A function of its input."""
    outcome: DispositionOutcome = "withdrawn" if state.phase == "held" else "superseded"
    reason = review.status if state.phase == "held" else "newer_verdict"
    outputs = [disposition(stage, one, outcome, reason, when, (own,)) for one in state.replaced]
    if state.cancels_until is not None:
        cancelled = Cancellation(
            agent=review.agent,
            account_id=review.account_id,
            decision_id=review.decision_id,
            case_number=state.case_number,
            reason=reason,
            until=state.cancels_until,
            cancelled_at=when,
            caused_by=(own,),
        )
        outputs.append(Output(CANCELLATIONS, decision_key(review.agent, review.decision_id), cancelled))
    return tuple(outputs)


def is_of_earlier_case(trace: AgentTrace, state: CaseState) -> bool:
    """Whether `trace` only reports that an earlier case's request did not run; a run counts for any case."""
    return trace.attempts == 0 and trace.case_number < state.case_number


def is_older(event: Event, review: Review, state: CaseState, ports: Dependencies) -> bool:
    """Whether `review` was written before the one that has the case, however late it came."""
    if state.review_cause.topic == REVIEWS:
        return source_offset(event) < state.review_cause.offset
    # that one was sent again itself: its place in the retry topic says nothing
    return state.review is not None and review.reviewed_at < ports.review(state.review).reviewed_at
