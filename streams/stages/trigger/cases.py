"""Makes a case from the trigger's state."""

from collections.abc import Sequence
from typing import get_args

from schemas.record import Record
from schemas.records import (
    AgentDecision,
    Case,
    CaseArm,
    CaseRequest,
    CaseState,
    CaseTry,
    ReplayArm,
)
from streams.core.budgets import spent_on
from streams.core.contract import Output
from streams.gates.structural import unhinted_request_hash

CASES = "opoi.cases"
ARMS: tuple[ReplayArm, ...] = get_args(ReplayArm)
BARE_ARMS: tuple[ReplayArm, ...] = ("corrector_sft", "judge")
"""Arms of a bare model: if that model is gone, the agent has no version skew."""


def first_hit(requests: tuple[CaseRequest, ...], arm: ReplayArm) -> CaseRequest | None:
    """The first run of `arm` that reached the expert's action, missed no tool and passed the gates."""
    return next(
        (
            one
            for one in requests
            if one.arm == arm and one.hit and one.failed_gate is None and not one.misses
        ),
        None,
    )


def first_completed(requests: tuple[CaseRequest, ...], arm: ReplayArm) -> CaseRequest | None:
    """The first run of `arm` that ended with a decision, whatever the action."""
    return next((one for one in requests if one.arm == arm and one.status == "completed"), None)


def _arm(state: CaseState, arm: ReplayArm) -> CaseArm | None:
    requests = tuple(one for one in state.requests if one.arm == arm)
    if not requests:
        return None
    chosen = first_hit(requests, arm)
    kept = {one.replay_id for one in (chosen, first_completed(requests, arm)) if one is not None}
    tries = tuple(
        CaseTry(
            replay_id=one.replay_id,
            strength=one.strength,
            sample=one.sample,
            status=one.status,
            hit=one.hit,
            misses=one.misses,
            failed_gate=one.failed_gate,
            reason=one.reason,
            followed=one.followed,
            trace_offset=one.trace_cause.offset if one.trace_cause else None,
            trace=one.trace if one.replay_id in kept else None,
        )
        for one in requests
    )
    return CaseArm(
        arm=arm,
        tries=tries,
        hits=sum(one.hit for one in requests),
        stop_reason=state.stop_reason or "",
        chosen_replay_id=chosen.replay_id if chosen else None,
    )


def skew(requests: Sequence[CaseRequest]) -> str | None:
    """The part of the agent's version that no longer runs, as the first run without it reported."""
    missed = (one for one in requests if one.status == "version_skew" and one.arm not in BARE_ARMS)
    return next((one.reason or "version_skew" for one in missed), None)


def case_output(state: CaseState, key: str, decision: Record | None) -> Output:
    """The case of the closed `state`, with the state's issue number."""
    assert state.review is not None
    assert state.closed_status is not None
    assert state.closed_at is not None
    traces = tuple(one.trace_cause for one in state.requests if one.trace_cause is not None)
    causes = dict.fromkeys((state.review_cause, *traces, *((state.closed_by,) if state.closed_by else ())))
    case = Case(
        agent=key.partition("/")[0],
        account_id=state.account_id,
        decision_id=key.partition("/")[2],
        verdict_id=state.verdict_id,
        revision=state.revision,
        round=state.round,
        issue_number=state.issue_number,
        status=state.closed_status,
        review=state.review,
        unhinted_request_hash=unhinted_request_hash(decision)
        if isinstance(decision, AgentDecision) and state.requests
        else None,
        arms=tuple(arm for name in ARMS if (arm := _arm(state, name)) is not None),
        closed_at=state.closed_at,
        control_sample=state.control_sample,
        stop_reason=state.stop_reason,
        missing=skew(state.requests) if state.stop_reason == "version_skew" else None,
        spent=spent_on(state.requests) if state.requests else None,
        caused_by=tuple(causes),
    )
    return Output(CASES, key, case)
