"""Trigger: requests the model runs of a case, collects their traces, judges hinted runs, closes the case.

Of two traces with one replay_id the first counts. A rule (`next_action`) or the deadline closes the case.
"""

from datetime import datetime

from schemas.identity import decision_key
from schemas.records import (
    AgentDecision,
    AgentTrace,
    CaseState,
    CaseStatus,
    Cause,
    DispositionOutcome,
    Review,
)
from schemas.stages import stages
from streams.core.contract import Event, Output, Poison, Transition
from streams.core.dependencies import Dependencies
from streams.core.dispositions import (
    DispositionReason,
    cause,
    checked_key,
    disposition,
    rejection,
    same_input,
)
from streams.gates.eligibility import unusable
from streams.stages.trigger.apply_trace import apply_trace
from streams.stages.trigger.close_case import close, closed_again, standing, stop_reason
from streams.stages.trigger.control_sample import first_runs, in_sample, wrong_verdict
from streams.stages.trigger.next_action import TriggerRules, next_action
from streams.stages.trigger.replay_requests import asked_for, replay_requests
from streams.stages.trigger.run_plan import PlannedRun
from streams.stages.trigger.supersede import close_superseded, inherit_from, is_of_earlier_case, is_older


class Trigger:
    """The keyed step; see `streams.core.contract.KeyedStep`."""

    stage: str = "trigger"
    sources: tuple[str, ...] = stages()["trigger"].sources
    state_type: type[CaseState] = CaseState

    def __init__(self, rules: TriggerRules, ports: Dependencies) -> None:
        self._rules = rules
        self._ports = ports

    def key_of(self, event: Event) -> str:
        """`agent/decision_id`. Raises Poison if the message key differs."""
        record = event.record
        assert isinstance(record, Review | AgentTrace)
        return checked_key(event.key, record.agent, record.decision_id)

    def on_event(self, state: CaseState | None, event: Event) -> Transition[CaseState]:
        """Processes a review or a trace."""
        if isinstance(event.record, Review):
            return self._review(state, event, event.record)
        assert isinstance(event.record, AgentTrace)
        return self._trace(state, event, event.record)

    def deadline(self, state: CaseState) -> datetime | None:
        """The deadline of an open case; for a closed one, the time at which its bytes are dropped."""
        return state.deadline_at or state.forget_at

    def on_deadline(self, state: CaseState, key: str, now: datetime) -> Transition[CaseState]:
        """Closes the case with the runs that it has, or drops the bytes of a closed one."""
        if state.deadline_at is not None and state.deadline_at <= now:
            return self._close(state, key, "deadline", "deadline", state.deadline_at, None)
        if state.forget_at is not None and state.forget_at <= now:
            forgotten = tuple(one.model_copy(update={"trace": None}) for one in state.requests)
            return Transition(
                state.model_copy(update={"review": None, "requests": forgotten, "forget_at": None})
            )
        return Transition(state)

    # reviews

    def _review(self, state: CaseState | None, event: Event, review: Review) -> Transition[CaseState]:
        own = cause(event.coordinates, f"{review.verdict_id}/{review.revision}/{review.status}")
        if state is not None and same_input(state.review_cause, event):
            return self._again(state, event, own)
        if state is not None and is_older(event, review, state, self._ports):
            return self._answer(state, event, own, "superseded", "older_review")
        match review.status:
            case "no_verdict" | "decision_missing":
                return self._answer(state, event, own, "expired", review.status)
            case "retracted" | "conflict":
                return self._withdraw(state, event, own, review)
            case "joined":
                return self._joined(state, event, own, review)

    def _joined(
        self, state: CaseState | None, event: Event, own: Cause, review: Review
    ) -> Transition[CaseState]:
        if review.decision is None or review.verdict is None or review.split is None:
            raise Poison("contract", "a joined review lacks its decision, its verdict or its split")
        verdict = review.verdict
        if state is not None and state.verdict_id == verdict.verdict_id and state.phase != "held":
            if verdict.revision < state.revision:
                return self._answer(state, event, own, "superseded", "older_revision")
            if verdict.revision == state.revision:
                return self._answer(state, event, own, "duplicate", "same_verdict")
        decision = self._ports.decision(review.decision)
        fresh = CaseState(
            review=event.value,
            review_cause=own,
            account_id=review.account_id,
            verdict_id=verdict.verdict_id,
            revision=verdict.revision,
            phase="unhinted",
            pending=(own,),
            deadline_at=event.timestamp + self._rules.deadline,
        )
        fresh = inherit_from(fresh, state)
        key = decision_key(review.agent, review.decision_id)
        corrected = verdict.corrected_action if verdict.kind == "correct" else None
        actions = self._ports.actions_of(decision) if corrected is not None else frozenset()
        refused = verdict.kind if corrected is None else unusable(corrected, actions)
        if refused is not None:
            done = self._close(fresh, key, "complete", refused, event.timestamp, own)
        else:
            controls = self._rules.controls
            is_control = in_sample(controls, decision, review.split, self._ports.spend_of(decision))
            runs = first_runs(
                controls,
                self._rules.unhinted_runs,
                decision,
                review.split,
                is_control=is_control,
                discriminable=wrong_verdict(verdict, decision, actions) is not None,
            )
            fresh = fresh.model_copy(update={"control_sample": is_control})
            done = self._ask(fresh, event, own, review, decision, runs)
        before = close_superseded(self.stage, fresh, review, own, event.timestamp)
        return Transition(done.state, (*done.outputs, *before))

    def _withdraw(
        self, state: CaseState | None, event: Event, own: Cause, review: Review
    ) -> Transition[CaseState]:
        """The verdict is retracted, or experts disagree: withdraws the case. The state is kept even if no
        case was written: an earlier review that is redriven must find it."""
        key = decision_key(review.agent, review.decision_id)
        held = CaseState(
            review=event.value,
            review_cause=own,
            account_id=review.account_id,
            verdict_id=review.verdict_id or "",
            revision=review.revision or 0,
            phase="held",
        )
        held = inherit_from(held, state)
        before = close_superseded(self.stage, held, review, own, event.timestamp)
        if held.case_emitted:
            done = self._close(held, key, "withdrawn", review.status, event.timestamp, own)
            assert done.state is not None
            return Transition(done.state.model_copy(update={"phase": "held"}), (*done.outputs, *before))
        outcome: DispositionOutcome = "withdrawn" if review.status == "retracted" else "pending"
        if outcome == "pending":
            held = held.model_copy(update={"pending": (own,)})
        answered = self._answer(held, event, own, outcome, review.status)
        return Transition(answered.state, (*answered.outputs, *before))

    # traces

    def _trace(self, state: CaseState | None, event: Event, trace: AgentTrace) -> Transition[CaseState]:
        own = cause(event.coordinates, trace.replay_id)
        request = (
            next((one for one in state.requests if one.replay_id == trace.replay_id), None) if state else None
        )
        if state is None or request is None:
            if state is not None and (trace.verdict_id, trace.revision) != (state.verdict_id, state.revision):
                return self._answer(state, event, own, "superseded", "newer_verdict")
            return self._unknown(state, event, own, trace)
        if same_input(request.trace_cause, event):
            return self._again(state, event, own)
        if is_of_earlier_case(trace, state):
            return self._answer(state, event, own, "superseded", "earlier_case")
        if request.trace_cause is not None:
            return self._answer(state, event, own, "duplicate", "duplicate_run")
        if state.phase in ("closed", "held"):
            return self._answer(state, event, own, "superseded", "case_is_closed")
        assert state.review is not None
        review = self._ports.review(state.review)
        folded = apply_trace(state, request, trace, event.value, own, review, self._ports)
        return self._advance(folded, event, own, review)

    def _advance(self, state: CaseState, event: Event, own: Cause, review: Review) -> Transition[CaseState]:
        """Applies the rules once all traces are in."""
        if any(one.status is None for one in state.requests):
            return self._answer(state, event, own, "pending", "awaiting_traces")
        assert review.decision is not None
        # only control cases decode the decision here: most cases close
        can_redecide = state.control_sample and not self._ports.is_remote(
            self._ports.decision(review.decision)
        )
        found = next_action(state, review.split, self._rules, can_redecide=can_redecide)
        if isinstance(found, str):
            key = decision_key(review.agent, review.decision_id)
            return self._close(state, key, "complete", found, event.timestamp, own)
        decision = self._ports.decision(review.decision)
        return self._ask(state.model_copy(update={"phase": "hinted"}), event, own, review, decision, found)

    # requests and cases

    def _ask(
        self,
        state: CaseState,
        event: Event,
        own: Cause,
        review: Review,
        decision: AgentDecision,
        runs: list[PlannedRun],
    ) -> Transition[CaseState]:
        rules, ports = self._rules, self._ports
        outputs = replay_requests(state, review, decision, runs, rules, ports, event.timestamp, own)
        entries = asked_for(outputs, own)
        after = state.model_copy(update={"requests": (*state.requests, *entries)})
        answered = self._answer(after, event, own, "pending", "awaiting_traces")
        return Transition(after, (*outputs, *answered.outputs))

    def _close(
        self,
        state: CaseState,
        key: str,
        status: CaseStatus,
        reason: DispositionReason,
        when: datetime,
        own: Cause | None,
    ) -> Transition[CaseState]:
        return close(self.stage, state, key, status, reason, when, own, self._ports, self._rules.remember)

    def _again(self, state: CaseState, event: Event, own: Cause) -> Transition[CaseState]:
        """An input that the state has already: repeats its outputs, byte for byte."""
        if state.review is None:
            reason: DispositionReason = stop_reason(state) if state.stop_reason else "closed"
            return self._answer(state, event, own, "emitted", reason)
        review = self._ports.review(state.review)
        key = decision_key(review.agent, review.decision_id)
        before: tuple[Output, ...] = ()
        if own == state.review_cause:
            before = close_superseded(self.stage, state, review, own, event.timestamp)
        if state.closed_by == own:
            return Transition(state, (*closed_again(self.stage, state, key, own, self._ports), *before))
        asked = [
            PlannedRun(one.arm, one.strength, one.sample) for one in state.requests if one.requested_by == own
        ]
        requests: tuple[Output, ...] = ()
        if asked and review.decision is not None:
            decision = self._ports.decision(review.decision)
            rules, ports = self._rules, self._ports
            requests = replay_requests(state, review, decision, asked, rules, ports, event.timestamp, own)
        answered = self._answer(state, event, own, *standing(state, own, review))
        return Transition(state, (*requests, *answered.outputs, *before))

    # dispositions and rejections

    def _answer(
        self,
        state: CaseState | None,
        event: Event,
        own: Cause,
        outcome: DispositionOutcome,
        reason: DispositionReason,
    ) -> Transition[CaseState]:
        return Transition(state, (disposition(self.stage, own, outcome, reason, event.timestamp),))

    def _unknown(
        self, state: CaseState | None, event: Event, own: Cause, trace: AgentTrace
    ) -> Transition[CaseState]:
        refused = rejection(
            self.stage,
            trace,
            gate="trigger",
            reason_code="unknown_replay",
            reason=f"no open case asked for replay {trace.replay_id} ({trace.arm}, sample {trace.sample})",
            rejected_at=event.timestamp,
            caused_by=(own,),
            arm=trace.arm,
        )
        answered = self._answer(state, event, own, "rejected", "unknown_replay")
        return Transition(state, (refused, *answered.outputs))
