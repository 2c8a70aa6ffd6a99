"""Which conversation of a case may become the row of a dataset arm, or why none may."""

from dataclasses import dataclass

from schemas.identity import sha256
from schemas.records import (
    AgentDecision,
    AgentTrace,
    Case,
    CaseArm,
    CaseTry,
    DatasetArm,
    ExampleSource,
    ReplayArm,
    Review,
)
from streams.core.dependencies import Dependencies
from streams.gates import battery
from streams.gates.gate import GateResult, Subject
from streams.gates.reason_codes import ReasonCode, refused_by
from streams.gates.wrong_oracle import wrong_oracle_control

DATASET_ARMS: tuple[DatasetArm, ...] = ("unhinted_control", "rejection_sampled", "corrector_sft", "opoi")
# the comparison is about their provenance, so only their validity is judged
VALIDITY_ONLY_ARMS: tuple[DatasetArm, ...] = ("unhinted_control", "corrector_sft")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A conversation that may become the row of one dataset arm."""

    source: ExampleSource
    subject: Subject
    weight: float
    gates: tuple[battery.Gate, ...]
    trace: AgentTrace | None = None
    trace_bytes: bytes | None = None
    before: tuple[GateResult, ...] = ()
    """Results of gates on the case, before those on the conversation."""

    def judged(self) -> tuple[GateResult, ...]:
        """The results up to and with the first refusal."""
        if not all(one.passed for one in self.before):
            return self.before
        return (*self.before, *battery.judge(self.subject, self.gates))


def wanted_arms(case: Case, review: Review) -> tuple[DatasetArm, ...]:
    """The dataset arms that the case must give: the corrector's only if it was asked."""
    assert review.verdict is not None
    corrected = review.verdict.kind == "approve" or any(arm.arm == "corrector_sft" for arm in case.arms)
    return tuple(arm for arm in DATASET_ARMS if arm != "corrector_sft" or corrected)


def candidate(
    case: Case, review: Review, decision: AgentDecision, arm: DatasetArm, ports: Dependencies
) -> Candidate | GateResult:
    """The conversation of one arm, or why there is none."""
    assert review.verdict is not None
    if review.verdict.kind == "approve":
        common = ports.common_of(decision)
        own = Subject(decision.turns, decision.action, decision, review.verdict, common, hinted=False)
        return Candidate("own_trace", own, 1.0, battery.VALIDITY_ONLY)
    if case.stop_reason == "version_skew":
        return _refused(case, "replay_readiness", "version_skew", {"missing": case.missing})
    chosen, source, weight = _chosen(case, arm)
    if chosen is None or chosen.trace is None:
        return _none(case, arm)
    trace = ports.decode("opoi.traces", chosen.trace)
    assert isinstance(trace, AgentTrace)
    subject = Subject(
        trace.turns,
        trace.action,
        decision,
        review.verdict,
        ports.common_of(decision),
        hinted=source == "hinted",
    )
    if arm in VALIDITY_ONLY_ARMS:
        return Candidate(source, subject, weight, battery.VALIDITY_ONLY, trace, chosen.trace)
    before = (wrong_oracle_control(case),) if arm_of(case, "wrong_oracle").tries else ()
    return Candidate(source, subject, weight, battery.GATES, trace, chosen.trace, before)


def _chosen(case: Case, arm: DatasetArm) -> tuple[CaseTry | None, ExampleSource, float]:
    """The try, where its conversation came from, and its weight."""
    unhinted, hinted = arm_of(case, "unhinted"), arm_of(case, "opoi")
    if arm == "unhinted_control":
        ended = (one for one in unhinted.tries if one.status == "completed" and one.trace is not None)
        return next(ended, None), "unhinted", 1.0
    if arm == "corrector_sft":
        return _hit(arm_of(case, "corrector_sft")), "corrector", 1.0
    hit = _hit(unhinted)
    if hit is None and arm == "opoi":
        return _hit(hinted), "hinted", 1.0
    return hit, "unhinted", _rarity(unhinted)


def _none(case: Case, arm: DatasetArm) -> GateResult:
    """The refusal of an arm that has no conversation."""
    hinted = arm_of(case, "opoi")
    refusals = [one.failed_gate for one in hinted.tries if one.failed_gate]
    gate = "unhinted_baseline"
    code: ReasonCode
    if arm == "unhinted_control":
        code = "no_completed_run"
    elif arm == "corrector_sft":
        gate, code = "corrector", "action_not_reached"
    elif arm == "rejection_sampled":
        code = "no_unhinted_hit"
    else:
        gate = "hinted_runs"
        if refusals:
            code = refused_by(refusals[-1])
        elif not hinted.tries:
            code = "not_hinted"
        elif all(one.misses for one in hinted.tries):
            code = "unreplayable"
        else:
            code = "action_not_reached"
    return _refused(case, gate, code, {"refused_by": refusals}, hinted_hits=float(hinted.hits))


def _refused(
    case: Case, gate: str, code: ReasonCode, evidence: dict[str, object], **metrics: float
) -> GateResult:
    return GateResult(
        gate=gate,
        version="1",
        outcome="reject",
        reason_code=code,
        input_hash=sha256(case.review),
        evidence={"case_status": case.status, "stop_reason": case.stop_reason, **evidence},
        metrics={"tries": float(sum(len(one.tries) for one in case.arms)), **metrics},
    )


def arm_of(case: Case, name: ReplayArm) -> CaseArm:
    """The tries of one arm; none if it was not run."""
    return next((arm for arm in case.arms if arm.arm == name), CaseArm(arm=name, stop_reason="not_run"))


def _hit(arm: CaseArm) -> CaseTry | None:
    return next((one for one in arm.tries if one.replay_id == arm.chosen_replay_id), None)


def _rarity(unhinted: CaseArm) -> float:
    """Weight of an un-hinted hit: 1 if a single run reached the action, 1/n if all n did."""
    ended = sum(one.status == "completed" for one in unhinted.tries)
    return (ended - unhinted.hits + 1) / ended if ended else 1.0
