"""Sanitize: from a complete case to training rows, refusals and the record of every gate.

Stateless, and it waits on nothing: all it needs is in the case.
"""

from dataclasses import dataclass

from schemas.identity import canonical_json, decision_key, sha256
from schemas.records import (
    AgentDecision,
    AgentTrace,
    Case,
    CaseArm,
    CaseTry,
    Cause,
    DatasetArm,
    ExampleSource,
    GateRecord,
    LineageEntry,
    Review,
    TrainingExample,
)
from streams.gates import battery
from streams.gates.gate import GateResult, Subject
from streams.gates.intake import intake
from streams.gates.structural import remove
from streams.steps.common import cause, disposition, rejection
from streams.steps.contract import Event, Output, Poison
from streams.steps.gaps import gap_report
from streams.steps.ports import Ports

CASES = "opoi.cases"
EXAMPLES = "opoi.training-examples"
GATE_RECORDS = "opoi.gate-records"
GAP_REPORTS = "opoi.gap-reports"

# the dataset arms whose rows this version can make
DATASET_ARMS: tuple[DatasetArm, ...] = ("unhinted_control", "rejection_sampled", "opoi")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A conversation that may become the row of one dataset arm."""

    source: ExampleSource
    subject: Subject
    weight: float
    gates: tuple[battery.Gate, ...]
    trace: AgentTrace | None = None
    trace_bytes: bytes | None = None


class Sanitize:
    """The stateless step; see `streams.steps.contract.StatelessStep`."""

    stage: str = "sanitize"
    sources: tuple[str, ...] = (CASES,)

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def on_event(self, event: Event) -> tuple[Output, ...]:
        """Every gate again over the case; one outcome per dataset arm."""
        case = event.record
        assert isinstance(case, Case)
        own = cause(event, f"{case.decision_id}/{case.verdict_id}/{case.revision}/{case.issue_number}")
        if case.status == "withdrawn":
            return self._withdrawals(case, own)
        review = self._ports.review(case.review)
        if review.verdict is None or review.decision is None:
            raise Poison("contract", f"a case with status {case.status!r} lacks its decision or verdict")
        decision = self._ports.decision(review.decision)
        refused = intake(review, self._ports.common_of(decision).actions)
        outputs: list[Output] = []
        if refused.passed and review.verdict.kind == "correct":
            outputs.append(Output(GAP_REPORTS, _key(case), gap_report(case)))
        outputs.append(self._gate_record(case, own, "all", None, refused))
        live = 0
        if refused.passed:
            for arm in DATASET_ARMS:
                made = self._arm(case, own, review, decision, arm)
                live += sum(isinstance(one.record, TrainingExample) for one in made)
                outputs += made
        else:
            outputs.append(self._refusal(case, own, None, None, refused))
        outputs.append(
            disposition(
                self.stage,
                own,
                "emitted" if live else "rejected",
                f"{live}_examples" if live else refused.reason_code if not refused.passed else "no_example",
                case.closed_at,
            )
        )
        return tuple(outputs)

    def _arm(
        self, case: Case, own: Cause, review: Review, decision: AgentDecision, arm: DatasetArm
    ) -> list[Output]:
        candidate = self._candidate(case, review, decision, arm)
        if isinstance(candidate, GateResult):
            return [
                self._gate_record(case, own, arm, None, candidate),
                self._refusal(case, own, arm, None, candidate),
            ]
        replay_id = candidate.trace.replay_id if candidate.trace else None
        results = battery.judge(candidate.subject, candidate.gates)
        outputs = [self._gate_record(case, own, arm, replay_id, one) for one in results]
        if results[-1].passed:
            outputs.append(self._example(case, own, review, decision, arm, candidate))
        else:
            outputs.append(self._refusal(case, own, arm, replay_id, results[-1]))
        return outputs

    def _candidate(
        self, case: Case, review: Review, decision: AgentDecision, arm: DatasetArm
    ) -> Candidate | GateResult:
        """The conversation of one arm, or why there is none."""
        assert review.verdict is not None
        common = self._ports.common_of(decision)
        if review.verdict.kind == "approve":
            own_trace = Subject(
                decision.turns, decision.action, decision, review.verdict, common, hinted=False
            )
            return Candidate("own_trace", own_trace, 1.0, battery.VALIDITY_ONLY)
        unhinted = _arm_of(case, "unhinted")
        hinted = _arm_of(case, "opoi")
        rarity = _rarity(unhinted)
        if arm == "unhinted_control":
            chosen = next(
                (one for one in unhinted.tries if one.status == "completed" and one.trace is not None), None
            )
            source: ExampleSource = "unhinted"
            weight = 1.0
            gates = battery.VALIDITY_ONLY
        else:
            chosen, source, weight = _chosen(unhinted), "unhinted", rarity
            gates = battery.GATES
            if chosen is None and arm == "opoi":
                chosen, source, weight = _chosen(hinted), "hinted", 1.0
        if chosen is None or chosen.trace is None:
            return self._none(case, arm, hinted)
        trace = self._ports.decode("opoi.traces", chosen.trace)
        assert isinstance(trace, AgentTrace)
        subject = Subject(
            trace.turns, trace.action, decision, review.verdict, common, hinted=source == "hinted"
        )
        return Candidate(source, subject, weight, gates, trace, chosen.trace)

    def _none(self, case: Case, arm: DatasetArm, hinted: CaseArm) -> GateResult:
        """Why an arm has no conversation at all."""
        refusals = [one.failed_gate for one in hinted.tries if one.failed_gate]
        if arm == "unhinted_control":
            code = "no_completed_run"
        elif arm == "rejection_sampled":
            code = "no_unhinted_hit"
        elif refusals:
            code = f"refused_by_{refusals[-1]}"
        elif not hinted.tries:
            code = "not_hinted"
        elif all(one.misses for one in hinted.tries):
            code = "unreplayable"
        else:
            code = "action_not_reached"
        tries = sum(len(one.tries) for one in case.arms)
        return GateResult(
            gate="hinted_runs" if arm == "opoi" else "unhinted_baseline",
            version="1",
            outcome="reject",
            reason_code=code,
            input_hash=sha256(case.review),
            evidence={"case_status": case.status, "refused_by": refusals},
            metrics={"tries": float(tries), "hinted_hits": float(hinted.hits)},
        )

    def _example(
        self,
        case: Case,
        own: Cause,
        review: Review,
        decision: AgentDecision,
        arm: DatasetArm,
        candidate: Candidate,
    ) -> Output:
        assert review.verdict is not None
        assert review.decision is not None
        model = candidate.trace.target.model if candidate.trace else decision.model
        lineage = [
            LineageEntry(kind="decision", id=decision.decision_id, hash=sha256(review.decision)),
            LineageEntry(kind="verdict", id=f"{case.verdict_id}/{case.revision}"),
            LineageEntry(kind="system_prompt", id=decision.prompt_id, hash=decision.prompt_id),
            LineageEntry(kind="toolset", id=decision.toolset_id, hash=decision.toolset_id),
            LineageEntry(kind="agent_spec", id=decision.spec_id, hash=decision.spec_id),
            LineageEntry(kind="model", id=model),
            LineageEntry(kind="gate_set", id=battery.GATE_SET, hash=battery.GATE_SET),
        ]
        if candidate.trace is not None and candidate.trace_bytes is not None:
            trace = LineageEntry(
                kind="trace", id=candidate.trace.replay_id, hash=sha256(candidate.trace_bytes)
            )
            lineage.insert(2, trace)
        example = TrainingExample(
            agent=case.agent,
            account_id=case.account_id,
            decision_id=case.decision_id,
            verdict_id=case.verdict_id,
            revision=case.revision,
            arm=arm,
            round=case.round,
            issue_number=case.issue_number,
            state="live",
            source=candidate.source,
            replay_id=candidate.trace.replay_id if candidate.trace else None,
            prompt_id=decision.prompt_id,
            toolset_id=decision.toolset_id,
            turns=remove(candidate.subject.turns),
            action=candidate.subject.action,
            gap_class=gap_report(case).gap_class if review.verdict.kind == "correct" else None,
            weight=candidate.weight,
            split=review.split,
            gate_set=battery.GATE_SET,
            lineage=tuple(lineage),
            made_at=case.closed_at,
            caused_by=(own,),
        )
        return Output(EXAMPLES, _key(case), example)

    def _withdrawals(self, case: Case, own: Cause) -> tuple[Output, ...]:
        review = self._ports.review(case.review)
        rows = tuple(
            Output(
                EXAMPLES,
                _key(case),
                TrainingExample(
                    agent=case.agent,
                    account_id=case.account_id,
                    decision_id=case.decision_id,
                    verdict_id=case.verdict_id,
                    revision=case.revision,
                    arm=arm,
                    round=case.round,
                    issue_number=case.issue_number,
                    state="withdrawn",
                    withdrawn_reason=review.status,
                    gate_set=battery.GATE_SET,
                    made_at=case.closed_at,
                    caused_by=(own,),
                ),
            )
            for arm in DATASET_ARMS
        )
        return (*rows, disposition(self.stage, own, "withdrawn", review.status, case.closed_at))

    def _gate_record(
        self, case: Case, own: Cause, arm: str, replay_id: str | None, result: GateResult
    ) -> Output:
        record = GateRecord(
            agent=case.agent,
            account_id=case.account_id,
            decision_id=case.decision_id,
            verdict_id=case.verdict_id,
            revision=case.revision,
            round=case.round,
            arm=arm,
            replay_id=replay_id,
            gate=result.gate,
            gate_version=result.version,
            gate_set=battery.GATE_SET,
            outcome=result.outcome,
            reason_code=result.reason_code,
            evidence_json=canonical_json(dict(result.evidence)),
            metrics=dict(result.metrics),
            input_hash=result.input_hash,
            recorded_at=case.closed_at,
            caused_by=(own,),
        )
        return Output(GATE_RECORDS, _key(case), record)

    def _refusal(
        self, case: Case, own: Cause, arm: DatasetArm | None, replay_id: str | None, result: GateResult
    ) -> Output:
        return rejection(
            self.stage,
            case,
            gate=result.gate,
            reason_code=result.reason_code,
            reason=f"gate {result.gate} (version {result.version}) refused: {result.reason_code}",
            rejected_at=case.closed_at,
            caused_by=(own,),
            arm=arm,
            replay_id=replay_id,
            evidence=dict(result.evidence),
        )


def _key(case: Case) -> str:
    return decision_key(case.agent, case.decision_id)


def _arm_of(case: Case, name: str) -> CaseArm:
    return next((arm for arm in case.arms if arm.arm == name), CaseArm(arm="opoi", stop_reason="not_run"))


def _chosen(arm: CaseArm) -> CaseTry | None:
    return next((one for one in arm.tries if one.replay_id == arm.chosen_replay_id), None)


def _rarity(unhinted: CaseArm) -> float:
    """Weight of an un-hinted hit: 1 where a single run reached the action, 1/n where all n did."""
    ended = sum(one.status == "completed" for one in unhinted.tries)
    return (ended - unhinted.hits + 1) / ended if ended else 1.0
