"""Tools that see the world as it was at the decision: recorded answers, and what follows from them.

A replay's tool box. It has no client and opens no connection, so a replay can neither read today's restated
figures nor change anything; writes are answered in the platform's shape and kept as intended.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from agent.ports import ToolAnswer, ToolError, ToolMiss
from agent.sealed import sealed
from agent.spec import AgentSpec
from agent.superset import derive
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json
from schemas.records import AgentDecision, AnsweredBy, Effect, IntendedWrite, Part


@dataclass(frozen=True, slots=True)
class Recorded:
    """One tool answer from the time of the decision; `error` instead of a body where the tool failed."""

    tool: str
    arguments: Mapping[str, Any]
    request_hash: str
    body: str | None
    error: str | None = None


class Step(Protocol):
    """One way to answer a read as of the decision; steps are asked in order, the first answer counts."""

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """The answer, or None where this way has none. Raises ToolError where the recorded call failed."""


@dataclass(frozen=True, slots=True)
class SameRequest:
    """The recorded answer to the same canonical request."""

    recorded: Sequence[Recorded]
    answered_by: AnsweredBy = "recording"

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """The first recorded answer with this hash."""
        for one in self.recorded:
            if one.request_hash != request_hash:
                continue
            if one.body is None:
                raise ToolError(one.error or f"{tool} failed")
            return ToolAnswer(one.body, self.answered_by)
        return None


@dataclass(frozen=True, slots=True)
class Superset:
    """An answer computed from a recorded one that contains it."""

    spec: AgentSpec
    recorded: Sequence[Recorded]
    today: date
    answered_by: AnsweredBy = "superset"

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """Computed from the first recorded answer that allows it."""
        known = self.spec.tools[tool]
        wanted = known.normalise(arguments)
        for one in self.recorded:
            if one.tool != tool or one.body is None:
                continue
            found = derive(known, wanted, known.normalise(one.arguments), json.loads(one.body), self.today)
            if found is not None:
                return ToolAnswer(json.dumps(found, ensure_ascii=False), self.answered_by)
        return None


def recorded_calls(decision: AgentDecision) -> tuple[Recorded, ...]:
    """Every read of the decision's run and its sub-agents, in order."""
    conversations = [decision.turns, *(run.turns for run in decision.sub_agent_runs)]
    return tuple(
        Recorded(
            call.tool or "",
            json.loads(call.arguments_json or "{}"),
            answer.request_hash or "",
            body,
            answer.error,
        )
        for turns in conversations
        for asked, answered in pairwise(turns)
        for call, answer in _pairs(asked.parts, answered.parts)
        if answer.effect == "read" and answer.request_hash
        for body in [answer.response_json]
    )


def _pairs(asked: Iterable[Part], answered: Iterable[Part]) -> Iterable[tuple[Part, Part]]:
    calls = [part for part in asked if part.kind == "function_call"]
    answers = [part for part in answered if part.kind == "function_response"]
    return zip(calls, answers, strict=False)


def snapshot_calls(decision: AgentDecision) -> tuple[Recorded, ...]:
    """The decision's as-of snapshot."""
    return tuple(
        Recorded(entry.tool, json.loads(entry.arguments_json), entry.request_hash, entry.response_json)
        for entry in decision.snapshot
    )


def as_of_steps(spec: AgentSpec, decision: AgentDecision) -> tuple[Step, ...]:
    """How a replay of `decision` answers reads: recording, superset, snapshot."""
    today = decision.decided_at.astimezone(ZoneInfo(decision.account_time_zone)).date()
    recorded, snapshot = recorded_calls(decision), snapshot_calls(decision)
    return (
        SameRequest(recorded),
        Superset(spec, recorded, today),
        SameRequest(snapshot, "snapshot"),
        Superset(spec, snapshot, today, "snapshot"),
    )


@dataclass(frozen=True, slots=True)
class AsOfToolBox:
    """The tools of one replay."""

    spec: AgentSpec
    declarations: Sequence[Mapping[str, Any]]
    steps: Sequence[Step]
    _intended: list[IntendedWrite] = field(default_factory=list)

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """Writes that were simulated, in order."""
        return tuple(self._intended)

    def effect(self, tool: str) -> Effect | None:
        """Whether the tool reads or writes; None where the agent has no such tool."""
        declared = any(declaration.get("name") == tool for declaration in self.declarations)
        return self.spec.effect(tool) if declared else None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return canonical_request_hash(self.spec, tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Answer as of the decision; nothing on the way may open a connection.

        Raises ToolMiss where nothing recorded can answer.
        """
        with sealed(f"{tool} in a replay"):
            return self._answer(tool, arguments)

    def _answer(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        known = self.spec.tools[tool]
        if known.simulated is not None:
            self._intended.append(IntendedWrite(tool=tool, arguments_json=canonical_json(dict(arguments))))
            return ToolAnswer(canonical_json(dict(known.simulated)), "simulated")
        request_hash = self.request_hash(tool, arguments)
        for step in self.steps:
            found = step.answer(tool, arguments, request_hash)
            if found is not None:
                return found
        raise ToolMiss(f"{tool} has no answer to these arguments for the time of this decision")
