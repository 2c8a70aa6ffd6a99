"""Sub-agents: how one is asked, what tools it has, and what counts as its answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.decision import CitedMetric, InvalidDecision
from agent.decision_checks import check_cited
from agent.ports import ToolAnswer, ToolBox, ToolError
from agent.run import AgentDefinition
from agent.spec import AgentSpec, SubAgentSpec
from schemas.identity import canonical_json
from schemas.records import Effect, IntendedWrite, Part, Turn


class _FindingBody(BaseModel):
    model_config = ConfigDict(extra="allow")

    finding: str = Field(min_length=1)
    cited_metrics: tuple[CitedMetric, ...]


def definition(agent: AgentDefinition, name: str) -> AgentDefinition:
    """The sub-agent as the runtime runs it; its spec is the main agent's."""
    own = agent.spec.sub_agents[name]
    return AgentDefinition(agent.spec, own.prompt, own.declarations)


def question(own: SubAgentSpec, arguments: object, values: Mapping[str, Any]) -> Turn:
    """The sub-agent's first turn, made from the decision's input and listed values alone.

    Raises ToolError for arguments that it does not take.
    """
    if not isinstance(arguments, Mapping):
        raise ToolError(f"the arguments must be an object, not {type(arguments).__name__}")
    unknown = sorted(set(arguments) - set(own.arguments))
    missing = sorted(set(own.arguments) - set(arguments))
    if unknown or missing:
        raise ToolError(f"the arguments must be {sorted(own.arguments)}, not {sorted(arguments)}")
    for name, rule in own.arguments.items():
        fault = rule.fault(arguments[name])
        if fault:
            raise ToolError(f"argument {name!r} {fault}")
    filling = {**values, **arguments, "input": canonical_json(dict(values))}
    try:
        asked = own.question.format_map(filling)
    except KeyError as error:
        raise ToolError(f"the question needs {error} of the decision's input, which lacks it") from error
    return Turn(role="user", parts=(Part(kind="text", text=asked),))


def read_finding(spec: AgentSpec, own: SubAgentSpec, text: str, turns: Sequence[Turn]) -> Mapping[str, Any]:
    """The answer in `text`. Raises InvalidDecision."""
    try:
        loaded = json.loads(text)
        body = _FindingBody.model_validate(loaded)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidDecision(f"the finding is no JSON: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidDecision(f"the finding breaks its contract: {faults}") from error
    further = body.model_extra or {}
    if further.keys() != own.answers.keys():
        raise InvalidDecision(
            f"besides finding and cited_metrics the answer must have {sorted(own.answers)}, "
            f"not {sorted(further)}"
        )
    for name, rule in own.answers.items():
        fault = rule.fault(further[name])
        if fault:
            raise InvalidDecision(f"{name!r} {fault}")
    if len(body.finding) > own.finding_characters:
        raise InvalidDecision(
            f"the finding has {len(body.finding)} characters; at most {own.finding_characters} are allowed"
        )
    check_cited(spec, body.cited_metrics, turns)
    found: Mapping[str, Any] = loaded
    return found


@dataclass(frozen=True, slots=True)
class SubAgentTools:
    """The tools of a sub-agent: the run's tool box, limited to what the sub-agent may read."""

    tools: ToolBox
    spec: AgentSpec
    declarations: Sequence[Mapping[str, Any]]

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """None: a sub-agent cannot write."""
        return ()

    def effect(self, tool: str) -> Effect | None:
        """`read` for a tool of the sub-agent; None for every other."""
        declared = any(declaration.get("name") == tool for declaration in self.declarations)
        return "read" if declared and self.spec.effect(tool) == "read" else None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return self.tools.request_hash(tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """What the run's tool box answers. Raises ToolError, ToolMiss."""
        if self.effect(tool) is None:
            raise ToolError(f"there is no tool {tool!r}")
        return self.tools.call(tool, arguments)
