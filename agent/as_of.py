"""Tools that answer as of the decision: with recorded answers, and with what can be computed from them.

This is a replay's tool box. It opens no connection, so a replay can neither read today's restated figures nor
change anything; writes are answered in the platform's shape and kept as intended writes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.derive import derive, is_same
from agent.network_guard import no_network
from agent.ports import ToolAnswer, ToolError, ToolMiss
from agent.spec import AgentSpec
from agent.tools.arguments import check_declared
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json, json_object, json_value
from schemas.records import AgentDecision, AnsweredBy, Effect, IntendedWrite, Part, SubAgentRun, Turn


class BrokenRecord(ValueError):
    """A record that breaks its own contract, so that nothing can be replayed from it; the text says where."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One tool answer from the time of the decision; `error` instead of a body where the tool failed."""

    tool: str
    arguments: Mapping[str, Any]
    request_hash: str
    body: str | None
    day: date
    """When it was given, in the account's time zone: dates such as `yesterday` are counted back from it."""
    error: str | None = None


class Step(Protocol):
    """One way to answer a read as of the decision; steps are asked in order, the first answer counts."""

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """The answer, or None where this way has none. Raises ToolError where the recorded call failed."""


@dataclass(frozen=True, slots=True)
class SameRequest:
    """The recorded answer to the same canonical request."""

    spec: AgentSpec
    recorded: Sequence[Recorded]
    answered_by: AnsweredBy = "recording"

    def holds(self, request_hash: str) -> bool:
        """Whether the very request was made."""
        return any(one.request_hash == request_hash for one in self.recorded)

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """The first recorded answer with this hash, or for the same days under another name; a recorded
        failure counts only if no call was answered."""
        same = [one for one in self.recorded if one.request_hash == request_hash]
        known = self.spec.tools[tool]
        wanted = known.normalise(arguments)
        renamed = (
            one
            for one in self.recorded
            if one.tool == tool and is_same(known, wanted, known.normalise(one.arguments), one.day)
        )
        for one in (*same, *renamed):
            if one.body is not None:
                return ToolAnswer(one.body, self.answered_by)
        if same:
            raise ToolError(same[0].error or f"{tool} failed")
        return None


@dataclass(frozen=True, slots=True)
class Superset:
    """An answer computed from a recorded one that contains it."""

    spec: AgentSpec
    recorded: Sequence[Recorded]
    answered_by: AnsweredBy = "superset"

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        """Computed from the first recorded answer that allows it."""
        known = self.spec.tools[tool]
        wanted = known.normalise(arguments)
        for one in self.recorded:
            if one.tool != tool or one.body is None:
                continue
            try:
                body = json.loads(one.body)
            except (ValueError, RecursionError):
                continue  # another recording may contain it
            found = derive(known, wanted, known.normalise(one.arguments), body, one.day)
            if found is not None:
                return ToolAnswer(json.dumps(found, ensure_ascii=False), self.answered_by)
        return None


def recorded_calls(decision: AgentDecision) -> tuple[Recorded, ...]:
    """Every read before the decision's first write, in order, then its sub-agents'.

    Reads after the write show its effect, so they are left out. Raises BrokenRecord.
    """
    pairs = _pairs(decision.turns)
    # a refused write reached no tool, so it has no hash
    written = [index for index, (_, answer) in enumerate(pairs) if _reached(answer, "write")]
    before = written[0] if written else len(pairs)
    # a sub-agent's answer has no hash either; one that is an error may have started no run
    asked_later = sum(answer.effect != "write" and not answer.request_hash for _, answer in pairs[before:])
    runs = [_pairs(run.turns) for run in _without_last(decision.sub_agent_runs, asked_later)]
    return tuple(
        Recorded(
            call.tool or "",
            object_of(call.arguments_json or "{}", f"the arguments of {call.tool}"),
            answer.request_hash or "",
            answer.response_json,
            _day(decision, answer.fetched_at or decision.decided_at),
            answer.error,
        )
        for found in (pairs[:before], *runs)
        for call, answer in found
        if _reached(answer, "read")
    )


def _pairs(turns: Sequence[Turn]) -> list[tuple[Part, Part]]:
    """Each call with its answer, in order."""
    return [
        pair
        for asked, answered in pairwise(turns)
        for pair in zip(_of(asked, "function_call"), _of(answered, "function_response"), strict=False)
    ]


def _of(turn: Turn, kind: str) -> list[Part]:
    return [part for part in turn.parts if part.kind == kind]


def _reached(answer: Part, effect: Effect) -> bool:
    return answer.effect == effect and bool(answer.request_hash)


def _without_last(runs: Sequence[SubAgentRun], count: int) -> list[SubAgentRun]:
    """The runs without the last `count` that the main run asked for and the runs below those."""
    asked = [run.run_id for run in runs if run.parent_id is None]
    left_out = set(asked[max(0, len(asked) - count) :])
    while below := {run.run_id for run in runs if run.parent_id in left_out} - left_out:
        left_out |= below
    return [run for run in runs if run.run_id not in left_out]


def snapshot_calls(decision: AgentDecision) -> tuple[Recorded, ...]:
    """The decision's as-of snapshot. Raises BrokenRecord."""
    return tuple(
        Recorded(
            entry.tool,
            object_of(entry.arguments_json, f"the arguments of {entry.tool}"),
            entry.request_hash,
            entry.response_json,
            _day(decision, entry.fetched_at),
        )
        for entry in decision.snapshot
    )


def json_of(text: str, name: str) -> Any:
    """The JSON value of `text`, the field `name` of a record. Raises BrokenRecord."""
    try:
        return json_value(text)
    except ValueError as error:
        raise BrokenRecord(f"{name} cannot be read as JSON: {error}") from error


def object_of(text: str, name: str) -> dict[str, Any]:
    """The JSON object of `text`, the field `name` of a record. Raises BrokenRecord."""
    try:
        return json_object(text)
    except ValueError as error:
        raise BrokenRecord(f"{name} cannot be used: {error}") from error


def _day(decision: AgentDecision, moment: datetime) -> date:
    """The day of the moment in the account's time zone."""
    zone = decision.account_time_zone
    try:
        return moment.astimezone(ZoneInfo(zone)).date()
    # the last two: a name too long for a file, a day beyond the calendar
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError) as error:
        raise BrokenRecord(f"account_time_zone {zone[:64]!r} is no IANA name of a time zone") from error


def as_of_steps(spec: AgentSpec, decision: AgentDecision) -> tuple[Step, ...]:
    """How a replay of `decision` answers reads: recording, superset, snapshot. Raises BrokenRecord."""
    recorded, snapshot = recorded_calls(decision), snapshot_calls(decision)
    return (
        SameRequest(spec, recorded),
        Superset(spec, recorded),
        SameRequest(spec, snapshot, "snapshot"),
        Superset(spec, snapshot, "snapshot"),
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
        """Answers as of the decision, without any network access.

        Arguments are refused as in production, with the same texts; a request that was recorded gets its
        recorded answer. Raises ToolError, and ToolMiss where nothing recorded can answer.
        """
        with no_network(f"{tool} in a replay"):
            return self._answer(tool, arguments)

    def _answer(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        known = self.spec.tools[tool]
        if known.simulated is not None:
            self._check(tool, arguments)
            self._intended.append(IntendedWrite(tool=tool, arguments_json=canonical_json(dict(arguments))))
            return ToolAnswer(canonical_json(dict(known.simulated)), "simulated")
        request_hash = self.request_hash(tool, arguments)
        if not any(isinstance(step, SameRequest) and step.holds(request_hash) for step in self.steps):
            self._check(tool, arguments)
        for step in self.steps:
            found = step.answer(tool, arguments, request_hash)
            if found is not None:
                return found
        raise ToolMiss(f"{tool} has no answer to these arguments for the time of this decision")

    def _check(self, tool: str, arguments: Mapping[str, Any]) -> None:
        of_sub_agents = (one for own in self.spec.sub_agents.values() for one in own.declarations)
        check_declared((*self.declarations, *of_sub_agents), tool, arguments)
