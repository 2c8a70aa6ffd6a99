"""The reviews that the join writes, and its state after a review."""

from datetime import datetime, timedelta

from schemas.identity import decision_key
from schemas.records import Cause, JoinState, JoinVerdict, Review
from streams.core.contract import Output
from streams.stages.join.split import SplitRule
from streams.stages.join.verdicts import Position, position

REVIEWS = "opoi.reviews"


def joined(state: JoinState, found: Position, split: SplitRule, when: datetime) -> Review:
    """The decision with the verdict that counts, or with the conflict about it."""
    verdict = found.verdict.verdict
    assert state.decision_cause is not None
    assert state.decided_at is not None
    assert state.account_id is not None
    return Review(
        agent=verdict.agent,
        account_id=state.account_id,
        decision_id=verdict.decision_id,
        status=found.status,
        verdict_id=verdict.verdict_id,
        revision=verdict.revision,
        decision=state.decision,
        verdict=verdict,
        conflicting_verdict_ids=found.conflicting,
        split=split(verdict.agent, state.account_id, state.decided_at),
        time_to_verdict_ms=round((verdict.given_at - state.decided_at).total_seconds() * 1000),
        reviewed_at=when,
        caused_by=(state.decision_cause, found.verdict.cause),
    )


def retracted(state: JoinState, taken: JoinVerdict, when: datetime) -> Review:
    """`taken` retracts the last valid verdict."""
    assert state.decision_cause is not None
    return Review(
        agent=taken.verdict.agent,
        account_id=state.account_id or taken.verdict.account_id,
        decision_id=taken.verdict.decision_id,
        status="retracted",
        verdict_id=taken.verdict.verdict_id,
        revision=taken.verdict.revision,
        verdict=taken.verdict,
        reviewed_at=when,
        caused_by=(state.decision_cause, taken.cause),
    )


def expired(state: JoinState, key: str, split: SplitRule, when: datetime) -> Review:
    """An input waited in vain. Every time in the review is the deadline's, so that a repeat is the same."""
    agent, _, decision_id = key.partition("/")
    found = position(state.verdicts)
    verdict = found.verdict.verdict if found is not None else None
    return Review(
        agent=agent,
        account_id=state.account_id or (verdict.account_id if verdict else ""),
        decision_id=decision_id,
        status="decision_missing" if state.decision_cause is None else "no_verdict",
        verdict_id=verdict.verdict_id if verdict else None,
        revision=verdict.revision if verdict else None,
        decision=state.decision,
        verdict=verdict,
        split=None
        if state.decided_at is None or state.account_id is None
        else split(agent, state.account_id, state.decided_at),
        reviewed_at=when,
        caused_by=state.pending,
    )


def reviewed(
    state: JoinState, review: Review, by: Cause | None, when: datetime, horizon: timedelta
) -> JoinState:
    """`state` after `review`; nothing waits any more. `by` None: a deadline."""
    return state.model_copy(
        update={
            "emitted_status": review.status,
            "emitted_verdict_id": review.verdict_id,
            "emitted_revision": review.revision,
            "emitted_by": by,
            "emitted_at": when,
            "pending": (),
            "expires_at": None,
            "horizon_at": None if state.decision is None else when + horizon,
        }
    )


def output(review: Review) -> Output:
    """The review as an output."""
    return Output(REVIEWS, decision_key(review.agent, review.decision_id), review)
