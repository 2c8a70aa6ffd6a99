"""The loop of an agent: the model speaks, its tools answer, until it has decided or may not go on.

Synchronous and without state of its own: many runs go side by side in threads. It knows no platform and no
broker; what a run gave is made of the same types as the records that carry it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.calls import WriteUnknown, answer_call
from agent.decision import Decision, InvalidDecision, read_decision
from agent.ports import (
    GenerationConfig,
    Message,
    Model,
    ModelError,
    ModelGone,
    ModelRefused,
    ModelRequest,
    ToolBox,
)
from agent.run import AgentDefinition, Limits, Price, Run
from agent.spec import AgentSpec
from schemas.identity import canonical_json, sha256
from schemas.records import Part, TraceStatus, Turn, Usage

STOP = "STOP"
_EXHAUSTED = {"MAX_TOKENS", "CONTINUATION"}
_INVALID = {
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
}  # fmt: skip
_FAILED = {"FINISH_REASON_UNSPECIFIED", "NO_CANDIDATE", "BLOCKED_REASON_UNSPECIFIED"}


class _Ended(Exception):
    """The run is over; the words are its reason."""

    def __init__(self, status: TraceStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class _State:
    """A run under way."""

    agent: AgentDefinition
    tools: ToolBox
    model_name: str
    config: GenerationConfig
    run_id: str
    read: Callable[[AgentSpec, str], Decision]
    messages: list[Message]
    started: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=Usage)
    attempts: int = 0
    misses: int = 0
    decision: Decision | None = None
    fault: str = "the model wrote no decision"
    written: list[tuple[str, str]] = field(default_factory=list)


def utc_now() -> datetime:
    """The time now, UTC."""
    return datetime.now(UTC)


def turn_seed(identity: str, turn: int) -> int:
    """The seed of one model turn of the run with this id: 31 bits, the same every time."""
    return int(sha256(f"{identity}/{turn}")[:8], 16) & 0x7FFF_FFFF


@dataclass(frozen=True, slots=True)
class Runtime:
    """Runs agents on one model."""

    model: Model
    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    now: Callable[[], datetime] = utc_now

    def run(
        self,
        agent: AgentDefinition,
        question: Turn,
        tools: ToolBox,
        *,
        model_name: str,
        config: GenerationConfig,
        run_id: str,
        history: Sequence[Turn] = (),
        read: Callable[[AgentSpec, str], Decision] = read_decision,
    ) -> Run:
        """Let the agent answer `question`, or go on from `history`, the turns after it. Seeds follow from
        `run_id`; `read` raises InvalidDecision.

        Raises ModelAway and QuotaExceeded, where nothing was found out about the agent: run it again later
        under the same id. Everything else is a status of the run.
        """
        started_at = self.now()
        messages = [Message(turn) for turn in (question, *history)]
        state = _State(agent, tools, model_name, config, run_id, read, messages)
        status: TraceStatus = "completed"
        reason = None
        try:
            while self._turn(state):
                pass
            _check_writes(state)
        except _Ended as ended:
            status, reason = ended.status, str(ended)
        return Run(
            status,
            reason,
            tuple(message.turn for message in state.messages),
            state.decision,
            self._priced(state.usage),
            state.attempts,
            state.misses,
            tuple(tools.intended_writes),
            started_at,
            self.now(),
        )

    def _priced(self, usage: Usage) -> Usage:
        if self.price is None:
            return usage
        return usage.model_copy(
            update={"cost_micros": self.price.of(usage), "cost_currency": self.price.currency}
        )

    def _turn(self, state: _State) -> bool:
        """One turn of the model and the answers to its calls; False where it asked for nothing more."""
        seconds = self._check_bounds(state)
        request = ModelRequest(
            model=state.model_name,
            contents=tuple(state.messages),
            system=state.agent.system_prompt or None,
            declarations=state.agent.declarations,
            config=state.config,
            seed=turn_seed(state.run_id, state.usage.model_calls),
            timeout_seconds=seconds,
        )
        try:
            reply = self.model.generate(request)
        except ModelGone as error:
            state.attempts += error.attempts
            raise _Ended("version_skew", f"model_gone: {error}") from error
        except ModelRefused as error:
            state.attempts += error.attempts
            status: TraceStatus = "invalid" if error.code is None else "failed"
            raise _Ended(status, f"model_refused: {error}") from error
        except ModelError:
            if state.written and not state.tools.intended_writes:
                return False  # what was really changed is not forgotten for want of a closing word
            raise
        state.attempts += reply.attempts
        state.usage = _sum(state.usage, reply.usage)
        state.messages.append(reply.message)
        _check_finish(reply.message.turn)
        _read_decisions(state, reply.message.turn)
        calls = [part for part in reply.message.turn.parts if part.kind == "function_call"]
        if not calls:
            return False
        answers = tuple(self._answer(state, call) for call in calls)
        state.messages.append(Message(Turn(role="user", parts=answers)))
        return True

    def _answer(self, state: _State, call: Part) -> Part:
        if state.tools.effect(call.tool or "") == "write":
            _check_write(state, call)
        state.usage = state.usage.model_copy(update={"tool_calls": state.usage.tool_calls + 1})
        try:
            answer = answer_call(
                state.tools, call, seconds=self.limits.tool_seconds, bytes_=self.limits.max_response_bytes
            )
        except WriteUnknown as error:
            raise _Ended("failed", f"write_unknown: {error}") from error
        state.misses += answer.answered_by == "miss"
        return answer

    def _check_bounds(self, state: _State) -> float:
        """The seconds that are left."""
        limits, usage = self.limits, state.usage
        left = limits.max_seconds - (time.monotonic() - state.started)
        if left <= 0:
            raise _Ended("exhausted", f"max_seconds: the run took longer than {limits.max_seconds:g} s")
        if usage.model_calls >= limits.max_turns:
            raise _Ended("exhausted", f"max_turns: the model took {limits.max_turns} turns and wants another")
        generated = (usage.output_tokens or 0) + (usage.thought_tokens or 0)
        if generated >= limits.max_output_tokens:
            raise _Ended(
                "exhausted", f"max_output_tokens: {generated} of {limits.max_output_tokens} are used"
            )
        if self.price is not None and limits.max_cost_micros is not None:
            cost = self.price.of(usage)
            if cost >= limits.max_cost_micros:
                raise _Ended("exhausted", f"max_cost_micros: {cost} of {limits.max_cost_micros} are used")
        return left


def _check_finish(turn: Turn) -> None:
    reason = turn.finish_reason or "FINISH_REASON_UNSPECIFIED"
    if reason == STOP:
        return
    status: TraceStatus = "refused"
    if reason in _EXHAUSTED:
        status = "exhausted"
    elif reason in _INVALID:
        status = "invalid"
    elif reason in _FAILED:
        status = "failed"
    raise _Ended(status, f"finish_reason: the model stopped with {reason}")


def _read_decisions(state: _State, turn: Turn) -> None:
    """Keep the last valid decision of the turn's texts."""
    for part in turn.parts:
        if part.kind != "text" or not (part.text or "").lstrip().startswith("{"):
            continue
        try:
            state.decision = state.read(state.agent.spec, part.text or "")
        except InvalidDecision as error:
            state.fault = str(error)


def _decided_write(state: _State) -> tuple[str, str] | None:
    if state.decision is None or state.decision.write is None:
        return None
    tool, arguments = state.decision.write
    return tool, canonical_json(dict(arguments))


def _check_write(state: _State, part: Part) -> None:
    """Let no write pass that the decision before it does not name."""
    call, decided = (part.tool or "", part.arguments_json or "{}"), _decided_write(state)
    if call != decided:
        named = "nothing" if decided is None else " ".join(decided)
        raise _Ended("invalid", f"write_differs: the call {' '.join(call)} is not what was decided: {named}")
    state.written.append(call)


def _check_writes(state: _State) -> None:
    """The run's writes are its last decision's: no other one, and none missing."""
    if state.decision is None:
        raise _Ended("invalid", f"no_decision: {state.fault}")
    decided = _decided_write(state)
    # an agent without tools can only say what it would do
    if decided is not None and decided not in state.written and state.agent.declarations:
        raise _Ended("invalid", f"write_missing: {' '.join(decided)} was decided but not called")
    others = [" ".join(call) for call in state.written if call != decided]
    if others:
        raise _Ended("invalid", f"write_differs: {others[0]} was called, but is not the last decision")


def _sum(one: Usage, other: Usage) -> Usage:
    """Two usages as one; a figure that neither has stays absent."""

    def add(left: int | None, right: int | None) -> int | None:
        return None if left is None and right is None else (left or 0) + (right or 0)

    return Usage(
        input_tokens=add(one.input_tokens, other.input_tokens),
        cached_tokens=add(one.cached_tokens, other.cached_tokens),
        output_tokens=add(one.output_tokens, other.output_tokens),
        thought_tokens=add(one.thought_tokens, other.thought_tokens),
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )
