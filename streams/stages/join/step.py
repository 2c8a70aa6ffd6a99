"""Join: decisions with the verdict that counts, whichever comes first.

The state of a decision is made from the decision and its verdicts. An input that is processed again gives
the same state and the same output bytes, so a repeat after a crash does no harm.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.identity import sha256
from schemas.record import Record
from schemas.records import (
    AgentDecision,
    Cause,
    DispositionOutcome,
    ExpertVerdict,
    JoinState,
    JoinVerdict,
    Review,
)
from schemas.stages import stages
from streams.core.contract import Event, Poison, Transition
from streams.core.dispositions import (
    DispositionReason,
    cause,
    check_arguments,
    checked_key,
    disposition,
    rejection,
    same_input,
)
from streams.gates.reason_codes import ReasonCode
from streams.stages.join import reviews
from streams.stages.join.split import SplitRule
from streams.stages.join.verdicts import Position, position


@dataclass(frozen=True, slots=True)
class JoinRules:
    """Waits of the join: how long a decision waits for a verdict, how long a verdict waits for its decision,
    and how long after a join or an expiry the decision's bytes are kept for later verdicts."""

    verdict_wait: timedelta
    decision_wait: timedelta
    horizon: timedelta
    split: SplitRule = field(default_factory=SplitRule)


class Join:
    """The keyed step; see `streams.core.contract.KeyedStep`."""

    stage: str = "join"
    sources: tuple[str, ...] = stages()["join"].sources
    state_type: type[JoinState] = JoinState

    def __init__(self, rules: JoinRules) -> None:
        self._rules = rules

    def key_of(self, event: Event) -> str:
        """`agent/decision_id`. Raises Poison if the message key differs."""
        record = event.record
        assert isinstance(record, AgentDecision | ExpertVerdict)
        return checked_key(event.key, record.agent, record.decision_id)

    def on_event(self, state: JoinState | None, event: Event) -> Transition[JoinState]:
        """Processes a decision or a verdict."""
        state = state or JoinState()
        if isinstance(event.record, AgentDecision):
            return self._decision(state, event, event.record)
        assert isinstance(event.record, ExpertVerdict)
        return self._verdict(state, event, event.record)

    def deadline(self, state: JoinState) -> datetime | None:
        """The earlier of expiry and horizon."""
        return min((when for when in (state.expires_at, state.horizon_at) if when), default=None)

    def on_deadline(self, state: JoinState, key: str, now: datetime) -> Transition[JoinState]:
        """Expires inputs that waited in vain; past the horizon drops the decision's bytes."""
        if state.expires_at is not None and state.expires_at <= now:
            return self._expire(state, key, state.expires_at)
        if state.horizon_at is not None and state.horizon_at <= now:
            return Transition(state.model_copy(update={"decision": None, "horizon_at": None}))
        return Transition(state)

    def _decision(self, state: JoinState, event: Event, decision: AgentDecision) -> Transition[JoinState]:
        check_arguments(decision.action)
        own = cause(event.coordinates, decision.decision_id)
        hashed = sha256(event.value)
        if state.decision_cause is not None and not same_input(state.decision_cause, event):
            if state.decision_hash == hashed:
                return self._answer(state, event, own, "duplicate", "same_bytes")
            return self._conflict(state, event, own, decision, state.decision_cause)
        if state.decision_cause is None:
            state = state.model_copy(
                update={
                    "decision": event.value,
                    "decision_hash": hashed,
                    "decision_cause": own,
                    "account_id": decision.account_id,
                    "decided_at": decision.decided_at,
                    "decision_arrived_at": event.timestamp,
                }
            )
            return self._conclude(state, event, own)
        return self._conclude(state, event, own, again=True)

    def _verdict(self, state: JoinState, event: Event, verdict: ExpertVerdict) -> Transition[JoinState]:
        if verdict.kind == "correct" and verdict.corrected_action is None:
            raise Poison("contract", "a verdict of kind 'correct' carries no corrected_action")
        if verdict.corrected_action is not None:
            check_arguments(verdict.corrected_action)
        if verdict.revision < 1:
            raise Poison("contract", f"revision is {verdict.revision}; the first one is 1")
        own = cause(event.coordinates, verdict.verdict_id)
        known = next((held for held in state.verdicts if held.verdict.verdict_id == verdict.verdict_id), None)
        if known is not None and not same_input(known.cause, event):
            if verdict.revision < known.verdict.revision:
                return self._answer(state, event, own, "superseded", "older_revision")
            if verdict.revision == known.verdict.revision:
                if known.hash == sha256(event.value):
                    return self._answer(state, event, own, "duplicate", "same_bytes")
                return self._conflict(state, event, own, verdict, known.cause)
        if known is None or not same_input(known.cause, event):
            if self._past_horizon(state) and verdict.kind != "retract":
                return self._too_late(state, event, own, verdict)
            return self._take(state, event, own, verdict, known)
        return self._conclude(state, event, own, again=True)

    def _take(
        self,
        state: JoinState,
        event: Event,
        own: Cause,
        verdict: ExpertVerdict,
        known: JoinVerdict | None,
    ) -> Transition[JoinState]:
        """A new verdict, or a new revision of one."""
        held = JoinVerdict(verdict=verdict, hash=sha256(event.value), cause=own, arrived_at=event.timestamp)
        others = tuple(other for other in state.verdicts if other is not known)
        waiting = known is not None and known.cause in state.pending
        after = state.model_copy(
            update={
                "verdicts": (*others, held),
                "pending": tuple(one for one in state.pending if known is None or one != known.cause),
            }
        )
        result = self._conclude(after, event, own)
        if known is None or not waiting:
            return result
        outcome: DispositionOutcome = "withdrawn" if verdict.kind == "retract" else "superseded"
        closing = disposition(self.stage, known.cause, outcome, "newer_revision", event.timestamp, (own,))
        return Transition(result.state, (*result.outputs, closing))

    def _conclude(
        self, state: JoinState, event: Event, own: Cause, *, again: bool = False
    ) -> Transition[JoinState]:
        """Emits the review that follows from the state, if it is new or this input led to it before.

        `again`: the state has this input already.
        """
        found = position(state.verdicts)
        if again and state.emitted_by is None and state.emitted_status is not None:
            return self._answer(state, event, own, "expired", state.emitted_status)
        if state.decision_cause is None:
            if found is None:
                return self._answer(state, event, own, "withdrawn", "retracted_before_its_decision")
            return self._wait(state, event, own, "awaiting_decision", self._rules.decision_wait)
        emitted = (state.emitted_status, state.emitted_verdict_id, state.emitted_revision)
        if found is not None and found.identity == emitted and not same_input(state.emitted_by, event):
            redelivered = own in (state.decision_cause, found.verdict.cause)
            outcome: DispositionOutcome = "emitted" if redelivered else "duplicate"
            return self._answer(state, event, own, outcome, found.status if redelivered else "agrees")
        if state.decision is None:
            return self._after_horizon(state, event, own)
        if found is None:
            if state.emitted_status in ("joined", "conflict") or same_input(state.emitted_by, event):
                return self._retracted(state, event, own)
            if own != state.decision_cause:
                return self._answer(state, event, own, "withdrawn", "nothing_to_retract")
            return self._wait(state, event, own, "awaiting_verdict", self._rules.verdict_wait)
        return self._emit(state, event, own, found)

    def _emit(self, state: JoinState, event: Event, own: Cause, found: Position) -> Transition[JoinState]:
        review = reviews.joined(state, found, self._rules.split, event.timestamp)
        return self._close(state, event, own, review, found.status)

    def _retracted(self, state: JoinState, event: Event, own: Cause) -> Transition[JoinState]:
        """The last valid verdict was retracted."""
        taken = next((held for held in state.verdicts if held.cause == own), None)
        if taken is None:
            return self._answer(state, event, own, "emitted", "retracted")
        review = reviews.retracted(state, taken, event.timestamp)
        return self._close(state, event, own, review, "retracted")

    def _after_horizon(self, state: JoinState, event: Event, own: Cause) -> Transition[JoinState]:
        """The bytes are gone: the verdict that counted can be retracted; all else was answered on arrival."""
        if any(held.cause == own and held.verdict.kind == "retract" for held in state.verdicts):
            return self._retracted(state, event, own)
        return self._answer(state, event, own, "emitted", state.emitted_status or "joined")

    def _close(
        self, state: JoinState, event: Event, own: Cause, review: Review, reason: DispositionReason
    ) -> Transition[JoinState]:
        """Writes a review and closes every input that waited for it."""
        after = reviews.reviewed(state, review, own, event.timestamp, self._rules.horizon)
        closed = [
            disposition(self.stage, one, "emitted", reason, event.timestamp, review.caused_by)
            for one in (*(one for one in state.pending if one != own), own)
        ]
        return Transition(after, (reviews.output(review), *closed))

    def _expire(self, state: JoinState, key: str, when: datetime) -> Transition[JoinState]:
        """What waited in vain."""
        review = reviews.expired(state, key, self._rules.split, when)
        closed = [
            disposition(self.stage, one, "expired", review.status, when, state.pending)
            for one in state.pending
        ]
        after = reviews.reviewed(state, review, None, when, self._rules.horizon)
        return Transition(after, (reviews.output(review), *closed))

    def _wait(
        self, state: JoinState, event: Event, own: Cause, reason: DispositionReason, wait: timedelta
    ) -> Transition[JoinState]:
        pending = state.pending if own in state.pending else (*state.pending, own)
        after = state.model_copy(
            update={"pending": pending, "expires_at": state.expires_at or event.timestamp + wait}
        )
        return self._answer(after, event, own, "pending", reason)

    def _answer(
        self,
        state: JoinState,
        event: Event,
        own: Cause,
        outcome: DispositionOutcome,
        reason: DispositionReason,
    ) -> Transition[JoinState]:
        if not state.pending and state.expires_at is not None:
            state = state.model_copy(update={"expires_at": None})
        return Transition(state, (disposition(self.stage, own, outcome, reason, event.timestamp),))

    def _conflict(
        self, state: JoinState, event: Event, own: Cause, record: Record, kept: Cause
    ) -> Transition[JoinState]:
        return self._refuse(
            state,
            event,
            (kept, own),
            record,
            "id_conflict",
            f"{own.id} came before with other content at {_place(kept)}, which is kept; "
            f"this one is at {_place(own)}. Send a changed record under a new id or revision",
        )

    def _too_late(
        self, state: JoinState, event: Event, own: Cause, verdict: ExpertVerdict
    ) -> Transition[JoinState]:
        assert state.decision_cause is not None
        return self._refuse(
            state,
            event,
            (state.decision_cause, own),
            verdict,
            "too_late",
            f"the verdict at {_place(own)} came after the horizon of {self._rules.horizon.days} days; "
            f"its decision is at {_place(state.decision_cause)}. Feed both again to join them",
        )

    def _refuse(
        self,
        state: JoinState,
        event: Event,
        both: tuple[Cause, Cause],
        record: Record,
        code: ReasonCode,
        reason: str,
    ) -> Transition[JoinState]:
        refused = rejection(
            self.stage,
            record,
            gate="join",
            reason_code=code,
            reason=reason,
            rejected_at=event.timestamp,
            caused_by=both,
        )
        closing = disposition(self.stage, both[1], "rejected", code, event.timestamp, both)
        return Transition(state, (refused, closing))

    def _past_horizon(self, state: JoinState) -> bool:
        return state.decision_cause is not None and state.decision is None


def _place(one: Cause) -> str:
    return f"{one.topic}[{one.partition}]@{one.offset}"
