"""Applies a trace to its request: hit, action followed, gate that refused it, usage."""

from typing import Any

from schemas.records import AgentDecision, AgentTrace, CaseRequest, CaseState, Cause, Review
from streams.core.budgets import spent_by
from streams.core.dependencies import Dependencies
from streams.gates.battery import GATES, VALIDITY_ONLY, judge
from streams.gates.gate import Subject
from streams.stages.trigger.control_sample import wrong_verdict

# their conversations may become rows; for the others the outcome is enough
KEPT_ARMS = ("unhinted", "opoi", "corrector_sft")


def apply_trace(
    state: CaseState,
    request: CaseRequest,
    trace: AgentTrace,
    value: bytes,
    own: Cause,
    review: Review,
    ports: Dependencies,
) -> CaseState:
    """`state` with the first trace of `request`, framed `value`."""
    assert review.decision is not None
    decision = ports.decision(review.decision)
    after = request.model_copy(
        update={
            **_outcome(trace, decision, review, ports),
            "status": trace.status,
            "reason": trace.reason,
            "misses": trace.misses,
            "spent": spent_by(trace),
            "trace_cause": own,
            "trace": value if request.arm in KEPT_ARMS else None,
        }
    )
    requests = tuple(after if one is request else one for one in state.requests)
    return state.model_copy(update={"requests": requests, "pending": (*state.pending, own)})


def _outcome(
    trace: AgentTrace, decision: AgentDecision, review: Review, ports: Dependencies
) -> dict[str, Any]:
    """The gates judge only a run that reached its action: no other run could be a row, or argue for a wrong
    verdict as well as for the right one."""
    verdict = review.verdict
    assert verdict is not None
    assert verdict.corrected_action is not None
    if trace.status != "completed" or trace.action is None or trace.arm == "judge":
        return {"hit": False, "followed": False, "failed_gate": None}
    hit = followed = ports.actions_match(decision, trace.action, verdict.corrected_action)
    if trace.arm == "wrong_oracle":
        told = wrong_verdict(verdict, decision, ports.actions_of(decision))
        assert told is not None
        assert told.corrected_action is not None
        followed = ports.actions_match(decision, trace.action, told.corrected_action)
    hinted = trace.arm in ("opoi", "wrong_oracle")
    failed_gate = None
    if (followed if hinted else hit) and not trace.misses and trace.arm != "redecision":
        subject = Subject(trace.turns, trace.action, decision, verdict, ports.common_of(decision), hinted)
        last = judge(subject, VALIDITY_ONLY if trace.arm == "corrector_sft" else GATES)[-1]
        failed_gate = None if last.passed else last.gate
    return {"hit": hit, "followed": followed and hinted, "failed_gate": failed_gate}
