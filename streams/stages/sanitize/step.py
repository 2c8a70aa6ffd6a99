"""Sanitize: from a complete case to training rows, rejections and the record of every gate.

Stateless: everything is in the case, except the agent's prompt, tools and spec, which the dependencies return
by hash.
"""

from typing import cast

from schemas.identity import canonical_json, decision_key, sha256
from schemas.records import (
    AgentDecision,
    Case,
    Cause,
    DatasetArm,
    DispositionOutcome,
    GateRecord,
    LineageEntry,
    Review,
    TrainingExample,
)
from schemas.stages import stages
from streams.core.contract import Event, Output, Poison
from streams.core.dependencies import Dependencies
from streams.core.dispositions import DispositionReason, cause, disposition, rejection
from streams.gates import battery
from streams.gates.eligibility import intake
from streams.gates.gate import GateResult
from streams.gates.structural import remove
from streams.stages.sanitize.candidates import DATASET_ARMS, Candidate, candidate, wanted_arms
from streams.stages.sanitize.gap_class import gap_report

EXAMPLES = "opoi.training-examples"
GATE_RECORDS = "opoi.gate-records"
GAP_REPORTS = "opoi.gap-reports"


class Sanitize:
    """The stateless step; see `streams.core.contract.StatelessStep`."""

    stage: str = "sanitize"
    sources: tuple[str, ...] = stages()["sanitize"].sources

    def __init__(self, ports: Dependencies) -> None:
        self._ports = ports

    def on_event(self, event: Event) -> tuple[Output, ...]:
        """Runs every gate again over the case; one outcome per dataset arm."""
        case = event.record
        assert isinstance(case, Case)
        own = cause(
            event.coordinates, f"{case.decision_id}/{case.verdict_id}/{case.revision}/{case.issue_number}"
        )
        review = self._ports.review(case.review)
        if case.status == "withdrawn":
            gone = self._withdrawn(case, own, DATASET_ARMS, review.status)
            return (*gone, disposition(self.stage, own, "withdrawn", review.status, case.closed_at))
        if review.verdict is None or review.decision is None:
            raise Poison("contract", f"a case with status {case.status!r} lacks its decision or verdict")
        decision = self._ports.decision(review.decision)
        refused = intake(review, self._ports.actions_of(decision))
        outputs: list[Output] = []
        if refused.passed and review.verdict.kind == "correct":
            outputs.append(Output(GAP_REPORTS, _key(case), gap_report(case)))
        outputs.append(self._gate_record(case, own, "all", None, refused))
        if refused.passed:
            for arm in wanted_arms(case, review):
                outputs += self._arm(case, own, review, decision, arm)
        else:
            outputs.append(self._refusal(case, own, None, None, refused))
        live = {one.record.arm for one in outputs if isinstance(one.record, TrainingExample)}
        if case.issue_number > 1:
            # an earlier issue may have given a row to an arm that this one leaves empty
            empty = tuple(arm for arm in DATASET_ARMS if arm not in live)
            outputs += self._withdrawn(case, own, empty, "newer_verdict")
        outcome: DispositionOutcome = "emitted" if live else "rejected"
        none: DispositionReason = "no_example" if refused.passed else refused.reason_code
        reason = cast(DispositionReason, f"{len(live)}_examples") if live else none
        outputs.append(disposition(self.stage, own, outcome, reason, case.closed_at))
        return tuple(outputs)

    def _arm(
        self, case: Case, own: Cause, review: Review, decision: AgentDecision, arm: DatasetArm
    ) -> list[Output]:
        found = candidate(case, review, decision, arm, self._ports)
        if isinstance(found, GateResult):
            return [
                self._gate_record(case, own, arm, None, found),
                self._refusal(case, own, arm, None, found),
            ]
        replay_id = found.trace.replay_id if found.trace else None
        results = found.judged()
        outputs = [self._gate_record(case, own, arm, replay_id, one) for one in results]
        if results[-1].passed:
            outputs.append(self._example(case, own, review, decision, arm, found))
        else:
            outputs.append(self._refusal(case, own, arm, replay_id, results[-1]))
        return outputs

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

    def _withdrawn(
        self, case: Case, own: Cause, arms: tuple[DatasetArm, ...], reason: str
    ) -> tuple[Output, ...]:
        return tuple(
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
                    withdrawn_reason=reason,
                    gate_set=battery.GATE_SET,
                    made_at=case.closed_at,
                    caused_by=(own,),
                ),
            )
            for arm in arms
        )

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
