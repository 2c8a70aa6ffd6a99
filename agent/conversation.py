"""Conversations in progress: the main agent's ends in a decision, a sub-agent's in a finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.decision import Decision, InvalidDecision, Read, read_decision
from agent.decision_checks import check_decision
from agent.ports import Message, ToolBox
from agent.run import AgentDefinition
from agent.spec import SubAgentSpec
from agent.sub_agents import read_finding
from schemas.identity import canonical_json
from schemas.records import Part, SubAgentRun, TraceStatus, Turn, Usage

STOP = "STOP"
_EXHAUSTED = {"MAX_TOKENS", "CONTINUATION"}
_INVALID = {
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
}  # fmt: skip
_FAILED = {"FINISH_REASON_UNSPECIFIED", "NO_CANDIDATE", "BLOCKED_REASON_UNSPECIFIED"}


class Ended(Exception):
    """The conversation is over; the text is its reason."""

    def __init__(self, status: TraceStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a model's answer: a code for the record, a text for the model."""

    code: str
    words: str


class Conversation(Protocol):
    """What the loop needs of both kinds."""

    agent: AgentDefinition
    tools: ToolBox
    run_id: str
    messages: list[Message]
    max_turns: int
    usage: Usage
    corrections: int

    def read(self, turn: Turn) -> Fault | None:
        """Reads the answer in a model turn. Returns what is wrong with it, or None."""

    def lacking(self) -> Fault | None:
        """What is missing when the model makes no further call; None where nothing is."""

    def admit(self, call: Part) -> None:
        """Allows a write, or raises Ended."""


def model_turns(talk: Conversation) -> int:
    """How many turns the model has taken in this conversation."""
    return sum(message.turn.role == "model" for message in talk.messages)


def _objects(turn: Turn) -> Sequence[str]:
    """The turn's texts that look like JSON."""
    texts = [part.text or "" for part in turn.parts if part.kind == "text"]
    return [text for text in texts if text.lstrip().startswith("{")]


@dataclass(slots=True)
class MainConversation:
    """The agent's own conversation; `values` is the decision's input, `how` reads its decision."""

    agent: AgentDefinition
    tools: ToolBox
    run_id: str
    messages: list[Message]
    values: Mapping[str, Any]
    max_turns: int
    how: Read = read_decision
    usage: Usage = field(default_factory=Usage)
    corrections: int = 0
    decision: Decision | None = None
    """The last valid decision before a write: the one that the write must carry out."""
    later: Decision | None = None
    """The last valid decision after the write."""
    written: list[tuple[str, str]] = field(default_factory=list)
    sub_agent_runs: list[SubAgentRun] = field(default_factory=list)

    def read(self, turn: Turn) -> Fault | None:
        """Keeps the last valid decision of the turn. Without one, returns what is wrong with the last."""
        fault = None
        valid = False
        for text in _objects(turn):
            try:
                decision = self.how(self.agent.spec, text)
                # a bare model has read nothing to check its decision against
                if self.agent.declarations:
                    turns = [message.turn for message in self.messages]
                    check_decision(self.agent.spec, decision, self.values, turns)
            except InvalidDecision as error:
                fault = Fault("no_decision", str(error))
            else:
                valid = True
                if self.written:
                    self.later = decision
                else:
                    self.decision = decision
        return None if valid or self.written else fault

    def lacking(self) -> Fault | None:
        """No decision, or its write was not called."""
        if self.decision is None:
            return Fault("no_decision", "the model wrote no decision")
        decided = self.decided_write()
        # an agent without tools can only say what it would do
        if decided is not None and decided not in self.written and self.agent.declarations:
            return Fault("write_missing", f"{' '.join(decided)} was decided but not called")
        return None

    def decided_write(self) -> tuple[str, str] | None:
        """Tool and canonical arguments of the call that carries the decision out."""
        return _write_of(self.decision)

    def admit(self, call: Part) -> None:
        """Allows a write once, and only if the decision before it names it. Raises Ended."""
        wanted, decided = (call.tool or "", call.arguments_json or "{}"), self.decided_write()
        if wanted != decided:
            named = "nothing" if decided is None else " ".join(decided)
            raise Ended(
                "invalid", f"write_differs: the call {' '.join(wanted)} is not what was decided: {named}"
            )
        if wanted in self.written:
            raise Ended("invalid", f"write_twice: {' '.join(wanted)} was called before")
        self.written.append(wanted)

    def check_writes(self) -> None:
        """Checks that the run's writes are those of its last decision. Raises Ended."""
        decided = _write_of(self.later or self.decision)
        others = [" ".join(call) for call in self.written if call != decided]
        if others:
            raise Ended("invalid", f"write_differs: {others[0]} was called, but is not the last decision")

    @property
    def changed_something(self) -> bool:
        """Whether a write was really made."""
        return bool(self.written) and not self.tools.intended_writes


def _write_of(decision: Decision | None) -> tuple[str, str] | None:
    if decision is None or decision.write is None:
        return None
    tool, arguments = decision.write
    return tool, canonical_json(dict(arguments))


@dataclass(slots=True)
class SubConversation:
    """A sub-agent's conversation."""

    agent: AgentDefinition
    own: SubAgentSpec
    tools: ToolBox
    run_id: str
    messages: list[Message]
    max_turns: int
    usage: Usage = field(default_factory=Usage)
    corrections: int = 0
    finding: Mapping[str, Any] | None = None

    def read(self, turn: Turn) -> Fault | None:
        """Keeps the turn's finding, or returns what is wrong with it."""
        fault = None
        for text in _objects(turn):
            try:
                turns = [message.turn for message in self.messages]
                self.finding = read_finding(self.agent.spec, self.own, text, turns)
                return None
            except InvalidDecision as error:
                fault = Fault("no_finding", str(error))
        return fault

    def lacking(self) -> Fault | None:
        """No finding."""
        return None if self.finding is not None else Fault("no_finding", "the model wrote no finding")

    def admit(self, call: Part) -> None:
        """Refuses every write: a sub-agent has no tool that writes. Raises Ended."""
        raise Ended("invalid", f"write_differs: a sub-agent called {call.tool}")


def check_finish(turn: Turn) -> None:
    """Every finish reason but STOP ends a conversation. Raises Ended."""
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
    raise Ended(status, f"finish_reason: the model stopped with {reason}")
