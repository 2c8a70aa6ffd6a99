"""Toy: the least that a keyed stage with deadlines is; it echoes each decision once, some after a wait."""

from datetime import datetime, timedelta

from schemas.identity import decision_key
from schemas.records import AgentDecision, Cause, Echo, ToyState
from schemas.stages import stages
from streams.core.contract import Event, Output, Poison, Transition
from streams.core.dispositions import cause, disposition, same_input

ECHOES = "opoi.echoes"


class Toy:
    """The keyed step; see `streams.core.contract.KeyedStep`."""

    stage: str = "toy"
    sources: tuple[str, ...] = stages()["toy"].sources
    state_type: type[ToyState] = ToyState

    def __init__(self, wait: timedelta) -> None:
        """`wait`: how long a decision to hold waits for its echo."""
        self._wait = wait

    def key_of(self, event: Event) -> str:
        """`agent/decision_id`. Raises Poison where the message key says otherwise."""
        decision = event.record
        assert isinstance(decision, AgentDecision)
        key = decision_key(decision.agent, decision.decision_id)
        if event.key != key.encode():
            raise Poison("wrong_key", f"the message key is {event.key!r}, the record's is {key!r}")
        return key

    def on_event(self, state: ToyState | None, event: Event) -> Transition[ToyState]:
        """Echoes a decision, or sets its deadline; the first one of an id counts."""
        decision, when = event.record, event.timestamp
        assert isinstance(decision, AgentDecision)
        own = cause(event.coordinates, decision.decision_id)
        if state is not None and not same_input(state.cause, event):
            again = disposition(self.stage, own, "duplicate", "same_id", when, (state.cause,))
            return Transition(state, (again,))
        if decision.action.name == "hold":
            state = ToyState(account_id=decision.account_id, cause=own, echo_at=when + self._wait)
            return Transition(state, (disposition(self.stage, own, "pending", "awaiting_echo", when),))
        state = ToyState(account_id=decision.account_id, cause=own)
        key = decision_key(decision.agent, decision.decision_id)
        return Transition(state, self._echo(state, key, "at_once", when))

    def deadline(self, state: ToyState) -> datetime | None:
        """When the echo is due."""
        return state.echo_at

    def on_deadline(self, state: ToyState, key: str, now: datetime) -> Transition[ToyState]:
        """Echoes what waited; its time is the deadline's, so that a repeat is the same."""
        assert state.echo_at is not None
        outputs = self._echo(state, key, "waited", state.echo_at)
        return Transition(state.model_copy(update={"echo_at": None}), outputs)

    def _echo(self, state: ToyState, key: str, reason: str, when: datetime) -> tuple[Output, ...]:
        agent, _, decision_id = key.partition("/")
        by: tuple[Cause, ...] = (state.cause,)
        echo = Echo(
            agent=agent,
            account_id=state.account_id,
            decision_id=decision_id,
            reason=reason,
            echoed_at=when,
            caused_by=by,
        )
        return Output(ECHOES, key, echo), disposition(self.stage, state.cause, "emitted", reason, when)
