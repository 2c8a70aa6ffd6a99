"""Trigger: owns the case of a decision, from its review to everything the sanitizer needs.

It asks for model runs, collects their traces (of two with one replay_id the first in the topic
counts), judges hinted ones as they come, and closes the case at a decision rule or its deadline.
"""

from datetime import datetime

from schemas.identity import decision_key
from schemas.records import (
    AgentDecision,
    AgentTrace,
    CaseRequest,
    CaseState,
    CaseStatus,
    Cause,
    DispositionOutcome,
    ReplayRequest,
    Review,
)
from streams.gates.battery import judge
from streams.gates.gate import Subject
from streams.steps.cases import case_output, first_hit
from streams.steps.common import cause, disposition, rejection, same_input
from streams.steps.contract import Event, Output, Poison, Transition
from streams.steps.ports import Ports
from streams.steps.requests import REQUESTS, Run, TriggerRules, next_hinted, replay_request

REVIEWS = "opoi.reviews"
TRACES = "opoi.traces"


class Trigger:
    """The keyed step; see `streams.steps.contract.KeyedStep`."""

    stage: str = "trigger"
    sources: tuple[str, ...] = (REVIEWS, TRACES)
    state_type: type[CaseState] = CaseState

    def __init__(self, rules: TriggerRules, ports: Ports) -> None:
        self._rules = rules
        self._ports = ports

    def key_of(self, event: Event) -> str:
        """`agent/decision_id`. Raises Poison where the message key says otherwise."""
        record = event.record
        assert isinstance(record, Review | AgentTrace)
        key = decision_key(record.agent, record.decision_id)
        if event.key != key.encode():
            raise Poison("wrong_key", f"the message key is {event.key!r}, the record's is {key!r}")
        return key

    def on_event(self, state: CaseState | None, event: Event) -> Transition[CaseState]:
        """Folds a review or a trace."""
        if isinstance(event.record, Review):
            return self._review(state, event, event.record)
        assert isinstance(event.record, AgentTrace)
        return self._trace(state, event, event.record)

    def deadline(self, state: CaseState) -> datetime | None:
        """The case's own deadline while it is open; then when its bytes may go."""
        return state.deadline_at or state.forget_at

    def on_deadline(self, state: CaseState, key: str, now: datetime) -> Transition[CaseState]:
        """Closes the case with what there is, or forgets the bytes of a closed one."""
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
        own = cause(event, f"{review.verdict_id}/{review.revision}/{review.status}")
        if state is not None and same_input(state.review_cause, event):
            return self._again(state, event, own)
        if state is not None and _older(event, state.review_cause):
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
        fresh = CaseState(
            review=event.value,
            review_cause=own,
            account_id=review.account_id,
            verdict_id=verdict.verdict_id,
            revision=verdict.revision,
            issue_number=state.issue_number if state else 0,
            phase="unhinted",
            case_emitted=state.case_emitted if state else False,
            pending=(own,),
            deadline_at=event.timestamp + self._rules.deadline,
        )
        superseded = self._settle_pending(state, event, "superseded", "newer_verdict", own)
        key = decision_key(review.agent, review.decision_id)
        decision = self._ports.decision(review.decision)
        corrected = verdict.corrected_action if verdict.kind == "correct" else None
        if corrected is None:
            done = self._close(fresh, key, "complete", verdict.kind, event.timestamp, own)
        elif corrected.name not in self._ports.common_of(decision).actions:
            done = self._close(fresh, key, "complete", "unknown_action", event.timestamp, own)
        else:
            asked = [Run("unhinted", 0, sample) for sample in range(self._rules.unhinted_runs)]
            done = self._ask(fresh, event, own, review, decision, asked)
        return Transition(done.state, (*done.outputs, *superseded))

    def _withdraw(
        self, state: CaseState | None, event: Event, own: Cause, review: Review
    ) -> Transition[CaseState]:
        """The verdict no longer stands, or experts disagree: what went out is taken back."""
        if state is None and review.status == "retracted":
            return self._answer(None, event, own, "withdrawn", "nothing_to_withdraw")
        key = decision_key(review.agent, review.decision_id)
        settled = self._settle_pending(state, event, "withdrawn", review.status, own)
        held = CaseState(
            review=event.value,
            review_cause=own,
            account_id=review.account_id,
            verdict_id=review.verdict_id or "",
            revision=review.revision or 0,
            issue_number=state.issue_number if state else 0,
            phase="held",
            case_emitted=state.case_emitted if state else False,
        )
        if held.case_emitted:
            done = self._close(held, key, "withdrawn", review.status, event.timestamp, own)
            assert done.state is not None
            return Transition(done.state.model_copy(update={"phase": "held"}), (*done.outputs, *settled))
        outcome: DispositionOutcome = "withdrawn" if review.status == "retracted" else "pending"
        if outcome == "pending":
            held = held.model_copy(update={"pending": (own,)})
        answered = self._answer(held, event, own, outcome, review.status)
        return Transition(answered.state, (*answered.outputs, *settled))

    # traces

    def _trace(self, state: CaseState | None, event: Event, trace: AgentTrace) -> Transition[CaseState]:
        own = cause(event, trace.replay_id)
        request = (
            next((one for one in state.requests if one.replay_id == trace.replay_id), None) if state else None
        )
        if state is None or request is None:
            if state is not None and (trace.verdict_id, trace.revision) != (state.verdict_id, state.revision):
                return self._answer(state, event, own, "superseded", "newer_verdict")
            return self._unknown(state, event, own, trace)
        if same_input(request.trace_cause, event):
            return self._again(state, event, own)
        if request.trace_cause is not None:
            return self._answer(state, event, own, "duplicate", "duplicate_run")
        if state.phase in ("closed", "held"):
            return self._answer(state, event, own, "superseded", "case_is_closed")
        review = self._ports.review(self._bytes(state))
        folded = self._fold(state, event, own, review, trace)
        return self._advance(folded, event, own, review)

    def _fold(
        self, state: CaseState, event: Event, own: Cause, review: Review, trace: AgentTrace
    ) -> CaseState:
        assert review.verdict is not None
        assert review.decision is not None
        decision = self._ports.decision(review.decision)
        wanted = review.verdict.corrected_action
        assert wanted is not None
        hit = (
            trace.status == "completed"
            and trace.action is not None
            and self._ports.actions_match(decision, trace.action, wanted)
        )
        failed_gate = None
        if hit and not trace.misses:
            subject = Subject(
                turns=trace.turns,
                action=trace.action,
                decision=decision,
                verdict=review.verdict,
                common=self._ports.common_of(decision),
                hinted=trace.arm == "opoi",
            )
            last = judge(subject)[-1]
            failed_gate = None if last.passed else last.gate
        update = {
            "status": trace.status,
            "hit": hit,
            "misses": trace.misses,
            "failed_gate": failed_gate,
            "trace_cause": own,
            "trace": event.value,
        }
        requests = tuple(
            one.model_copy(update=update) if one.replay_id == trace.replay_id else one
            for one in state.requests
        )
        return state.model_copy(update={"requests": requests, "pending": (*state.pending, own)})

    def _advance(self, state: CaseState, event: Event, own: Cause, review: Review) -> Transition[CaseState]:
        """Applies the decision rules to what is in."""
        key = decision_key(review.agent, review.decision_id)
        if any(one.status is None for one in state.requests):
            return self._answer(state, event, own, "pending", "awaiting_traces")
        for arm in ("unhinted", "opoi"):
            if first_hit(state.requests, arm) is not None:
                return self._close(state, key, "complete", f"{arm}_hit", event.timestamp, own)
        if review.split == "test":
            return self._close(state, key, "complete", "test_split", event.timestamp, own)
        following = next_hinted(state.requests, self._rules.samples_per_strength)
        if following is None:
            return self._close(state, key, "complete", "tries_used_up", event.timestamp, own)
        assert review.decision is not None
        decision = self._ports.decision(review.decision)
        return self._ask(
            state.model_copy(update={"phase": "hinted"}), event, own, review, decision, [following]
        )

    # requests and cases

    def _ask(
        self,
        state: CaseState,
        event: Event,
        own: Cause,
        review: Review,
        decision: AgentDecision,
        runs: list[Run],
    ) -> Transition[CaseState]:
        outputs = self._requests(state, event.timestamp, own, review, decision, runs)
        entries = tuple(
            CaseRequest(
                replay_id=made.replay_id,
                arm=made.arm,
                strength=made.strength,
                sample=made.sample,
                requested_at=made.requested_at,
                requested_by=own,
            )
            for made in (output.record for output in outputs)
            if isinstance(made, ReplayRequest)
        )
        after = state.model_copy(update={"requests": (*state.requests, *entries)})
        answered = self._answer(after, event, own, "pending", "awaiting_traces")
        return Transition(after, (*outputs, *answered.outputs))

    def _requests(
        self,
        state: CaseState,
        asked_at: datetime,
        own: Cause,
        review: Review,
        decision: AgentDecision,
        runs: list[Run],
    ) -> tuple[Output, ...]:
        render = self._ports.render_oracle
        return tuple(
            Output(
                REQUESTS,
                decision_key(review.agent, review.decision_id),
                replay_request(state, review, decision, run, self._rules, render, asked_at, own),
            )
            for run in runs
        )

    def _close(
        self,
        state: CaseState,
        key: str,
        status: CaseStatus,
        reason: str,
        when: datetime,
        own: Cause | None,
    ) -> Transition[CaseState]:
        """Emits the case and closes every input that it was waiting for. `own` None: a deadline."""
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
                "forget_at": when + self._rules.remember,
            }
        )
        inputs = list(dict.fromkeys((*state.pending, *((own,) if own else ()))))
        return Transition(closed, (self._case(closed, key), *self._emitted(inputs, reason, when)))

    def _case(self, state: CaseState, key: str) -> Output:
        assert state.closed_status is not None
        assert state.closed_at is not None
        review = self._ports.review(self._bytes(state))
        decision = self._ports.decision(review.decision) if review.decision is not None else None
        by = (state.closed_by,) if state.closed_by else ()
        return case_output(state, key, state.closed_status, state.closed_at, by, decision)

    def _again(self, state: CaseState, event: Event, own: Cause) -> Transition[CaseState]:
        """An input that the state holds already: what it led to goes out again, byte for byte."""
        if state.review is None:
            return self._answer(state, event, own, "emitted", state.stop_reason or "closed")
        review = self._ports.review(self._bytes(state))
        key = decision_key(review.agent, review.decision_id)
        if state.closed_by == own:
            assert state.closed_at is not None
            inputs = [state.review_cause, *(one.trace_cause for one in state.requests if one.trace_cause)]
            outputs = self._emitted(
                list(dict.fromkeys((*inputs, own))), state.stop_reason or "", state.closed_at
            )
            return Transition(state, (self._case(state, key), *outputs))
        asked = [Run(one.arm, one.strength, one.sample) for one in state.requests if one.requested_by == own]
        requests: tuple[Output, ...] = ()
        if asked and review.decision is not None:
            decision = self._ports.decision(review.decision)
            requests = self._requests(state, event.timestamp, own, review, decision, asked)
        still = own in state.pending
        answered = self._answer(
            state,
            event,
            own,
            "pending" if still else "emitted",
            "awaiting_traces" if still else state.stop_reason or "",
        )
        return Transition(state, (*requests, *answered.outputs))

    # small answers

    def _emitted(self, inputs: list[Cause], reason: str, when: datetime) -> tuple[Output, ...]:
        return tuple(disposition(self.stage, one, "emitted", reason, when) for one in inputs)

    def _settle_pending(
        self, state: CaseState | None, event: Event, outcome: DispositionOutcome, reason: str, by: Cause
    ) -> tuple[Output, ...]:
        if state is None:
            return ()
        return tuple(
            disposition(self.stage, one, outcome, reason, event.timestamp, (by,)) for one in state.pending
        )

    def _answer(
        self,
        state: CaseState | None,
        event: Event,
        own: Cause,
        outcome: DispositionOutcome,
        reason: str,
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

    def _bytes(self, state: CaseState) -> bytes:
        assert state.review is not None
        return state.review


def _older(event: Event, than: Cause) -> bool:
    return event.coordinates.topic == than.topic and event.coordinates.offset < than.offset
