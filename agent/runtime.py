"""The loop of an agent: the model answers and its tools run until it has decided or reaches a limit.

Synchronous and stateless: many runs go in parallel in threads. It knows no platform and no broker; the result
of a run has the types of the records that carry it.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.conversation import (
    Conversation,
    Ended,
    Fault,
    MainConversation,
    SubConversation,
    check_finish,
    model_turns,
)
from agent.decision import Read, read_decision
from agent.ports import (
    GenerationConfig,
    Message,
    Model,
    ModelError,
    ModelGone,
    ModelRefused,
    ModelRequest,
    ToolBox,
    ToolError,
)
from agent.run import AgentDefinition, Limits, Price, Run, priced, summed
from agent.sub_agents import SubAgentTools, definition, question
from agent.tool_calls import WriteUnknown, answer_call
from schemas.identity import canonical_json, sha256
from schemas.records import Effect, Part, SubAgentRun, TraceStatus, Turn, Usage


@dataclass(slots=True)
class _Frame:
    """What the conversations of a run share: the model, and the sum of what they have used."""

    model_name: str
    config: GenerationConfig
    started: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=Usage)
    attempts: int = 0
    misses: int = 0


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
        run_id: str,
        config: GenerationConfig | None = None,
        values: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
        read: Read = read_decision,
    ) -> Run:
        """Lets the agent answer `question`, or continue `history`, the turns after it; see `AgentRuntime`.

        `values` is the decision's input; `read` reads the decision.

        Raises ModelAway and QuotaExceeded where the run says nothing about the agent: run it again later
        under the same id. Everything else is a status of the run.
        """
        started_at = self.now()
        frame = _Frame(model_name, config or GenerationConfig())
        messages = [Message(turn) for turn in (question, *history)]
        talk = MainConversation(agent, tools, run_id, messages, values or {}, self.limits.max_turns, read)
        status: TraceStatus = "completed"
        reason = None
        try:
            while self._turn(talk, frame):
                pass
            talk.check_writes()
        except Ended as ended:
            status, reason = ended.status, str(ended)
        return Run(
            status,
            reason,
            tuple(message.turn for message in talk.messages),
            tuple(talk.sub_agent_runs),
            talk.decision,
            priced(frame.usage, self.price),
            frame.attempts,
            frame.misses,
            tuple(tools.intended_writes),
            started_at,
            self.now(),
        )

    def _turn(self, talk: Conversation, frame: _Frame) -> bool:
        """One turn of the model and the answers to its calls; False where the conversation is complete."""
        turn = self._asked(talk, frame)
        if turn is None:
            return False
        check_finish(turn)
        fault = talk.read(turn)
        calls = [part for part in turn.parts if part.kind == "function_call"]
        if not calls:
            fault = fault or talk.lacking()
            if fault is None:
                return False
        if fault is not None:
            self._count_correction(talk, fault)
        answers, ended = self._answers(talk, frame, calls, fault)
        if fault is not None:
            answers.append(Part(kind="text", text=f"Not accepted: {fault.words}. Answer again, whole."))
        talk.messages.append(Message(Turn(role="user", parts=tuple(answers))))
        if ended is not None:
            raise ended
        return True

    def _asked(self, talk: Conversation, frame: _Frame) -> Turn | None:
        """The model's next turn; None where the model does not answer after a real write."""
        seconds = self._check_bounds(talk, frame)
        request = ModelRequest(
            model=frame.model_name,
            contents=tuple(talk.messages),
            system=talk.agent.system_prompt or None,
            declarations=talk.agent.declarations,
            config=frame.config,
            seed=turn_seed(talk.run_id, model_turns(talk)),
            timeout_seconds=seconds,
        )
        try:
            reply = self.model.generate(request)
        except ModelGone as error:
            frame.attempts += error.attempts
            raise Ended("version_skew", f"model_gone: {error}") from error
        except ModelRefused as error:
            frame.attempts += error.attempts
            status: TraceStatus = "invalid" if error.code is None else "failed"
            raise Ended(status, f"model_refused: {error}") from error
        except ModelError as error:
            if isinstance(talk, MainConversation) and talk.changed_something:
                return None  # a real write must be recorded, even without a closing turn
            if frame.usage.model_calls:
                # a model that has answered before is slow, not unavailable: another run would only cost again
                frame.attempts += error.attempts
                self._seconds_left(frame)
            raise
        frame.attempts += reply.attempts
        frame.usage, talk.usage = summed(frame.usage, reply.usage), summed(talk.usage, reply.usage)
        talk.messages.append(reply.message)
        return reply.message.turn

    def _count_correction(self, talk: Conversation, fault: Fault) -> None:
        if talk.corrections >= self.limits.max_corrections:
            raise Ended("invalid", f"{fault.code}: {fault.words}")
        talk.corrections += 1

    def _answers(
        self, talk: Conversation, frame: _Frame, calls: Sequence[Part], fault: Fault | None
    ) -> tuple[list[Part], Ended | None]:
        """One answer to each call, and what ended the run, if anything; answers before it are kept."""
        answers: list[Part] = []
        ended: Ended | None = None
        for call in calls:
            effect = talk.tools.effect(call.tool or "")
            if ended is not None:
                answers.append(_error(call, "not made: the run had ended", effect))
                continue
            try:
                answers.append(self._answer(talk, frame, call, fault))
            except Ended as error:
                ended = error
                answers.append(_error(call, f"the run ended here: {error}", effect))
        return answers, ended

    def _answer(self, talk: Conversation, frame: _Frame, call: Part, fault: Fault | None) -> Part:
        one = Usage(tool_calls=1)
        if talk.tools.effect(call.tool or "") == "write":
            if fault is not None:
                words = "not carried out: the decision beside it was not accepted"
                return _error(call, words, effect="write")
            talk.admit(call)
        frame.usage, talk.usage = summed(frame.usage, one), summed(talk.usage, one)
        if isinstance(talk, MainConversation):
            known = talk.agent.spec.tools.get(call.tool or "")
            if known is not None and known.sub_agent is not None:
                return self._ask_sub_agent(talk, frame, call, known.sub_agent)
        try:
            answer = answer_call(
                talk.tools, call, seconds=self.limits.tool_seconds, bytes_=self.limits.max_response_bytes
            )
        except WriteUnknown as error:
            raise Ended("failed", f"write_unknown: {error}") from error
        frame.misses += answer.answered_by == "miss"
        return answer

    def _ask_sub_agent(self, talk: MainConversation, frame: _Frame, call: Part, name: str) -> Part:
        """Runs the sub-agent and returns its finding; the model sees what went wrong as an error."""
        spec = talk.agent.spec
        own = spec.sub_agents[name]
        if len(talk.sub_agent_runs) >= spec.sub_agent_calls:
            return _error(call, f"sub-agents were asked {spec.sub_agent_calls} times, which is the limit")
        try:
            asked = question(own, json.loads(call.arguments_json or "{}"), talk.values)
        except ToolError as error:
            return _error(call, f"{call.tool} cannot be called like this: {error}")
        agent = definition(talk.agent, name)
        run_id = f"{name}-{len(talk.sub_agent_runs) + 1}"
        sub = SubConversation(
            agent,
            own,
            SubAgentTools(talk.tools, spec, agent.declarations),
            f"{talk.run_id}/{run_id}",
            [Message(asked)],
            own.max_turns,
        )
        reason = None
        try:
            while self._turn(sub, frame):
                pass
        except Ended as ended:
            reason = str(ended)
        except ModelError:
            if not talk.changed_something:
                raise
            reason = "the model is away"
        talk.sub_agent_runs.append(
            SubAgentRun(
                run_id=run_id,
                name=name,
                prompt_id=agent.prompt_id,
                turns=tuple(message.turn for message in sub.messages),
                usage=priced(sub.usage, self.price),
            )
        )
        if reason is not None or sub.finding is None:
            return _error(call, f"{name} came to no finding ({reason}); go on without it")
        return Part(
            kind="function_response",
            call_id=call.call_id,
            tool=call.tool,
            effect="read",
            response_json=canonical_json(dict(sub.finding)),
        )

    def _check_bounds(self, talk: Conversation, frame: _Frame) -> float:
        """The seconds that are left. Raises Ended."""
        limits, usage = self.limits, frame.usage
        left = self._seconds_left(frame)
        for taken, most in ((usage.model_calls, limits.max_turns), (model_turns(talk), talk.max_turns)):
            if taken >= most:
                raise Ended("exhausted", f"max_turns: the model took {most} turns and wants another")
        generated = (usage.output_tokens or 0) + (usage.thought_tokens or 0)
        if generated >= limits.max_output_tokens:
            raise Ended("exhausted", f"max_output_tokens: {generated} of {limits.max_output_tokens} are used")
        if self.price is not None and limits.max_cost_micros is not None:
            cost = self.price.of(usage)
            if cost >= limits.max_cost_micros:
                raise Ended("exhausted", f"max_cost_micros: {cost} of {limits.max_cost_micros} are used")
        return left

    def _seconds_left(self, frame: _Frame) -> float:
        left = self.limits.max_seconds - (time.monotonic() - frame.started)
        if left <= 0:
            raise Ended("exhausted", f"max_seconds: the run took longer than {self.limits.max_seconds:g} s")
        return left


def _error(call: Part, words: str, effect: Effect | None = "read") -> Part:
    return Part(
        kind="function_response",
        call_id=call.call_id,
        tool=call.tool,
        effect=effect,
        error=words,
        answered_by="error",
    )
