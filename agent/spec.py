"""The AgentSpec: what opoi must know of an agent to compare its actions and to replay its tools.

It is written once for each agent (for the media buyer: `agent/media_buyer/spec.yaml`) and kept as an
artifact, so that what reads it need know nothing of the agent's domain.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from agent.tool_spec import Argument, SpecModel, ToolSpec
from schemas.identity import canonical_json, sha256
from schemas.names import Name
from schemas.records import Action, Effect
from schemas.settings import HttpUrl


class SpecError(ValueError):
    """An AgentSpec that contradicts itself or cannot be read; the text says where."""


class Write(SpecModel):
    """The tool call that carries an action out. An argument's value is `$target`, `$` and the name of an
    argument of the action, or a literal."""

    tool: str
    arguments: Mapping[str, str | int] = {}


class Change(SpecModel):
    """How far an argument may lie from what a tool has answered in the same conversation: percent of it,
    from `least` to `most`."""

    tool: str
    field: str
    least: float
    most: float


class ActionSpec(SpecModel):
    """One action of the enumeration. Two of them match where every argument does: those named in
    `within` by ratio, |ln(a / b)| <= ln(1 + tolerance), the others by equality."""

    description: str
    arguments: Mapping[str, Argument] = {}
    within: Mapping[str, Annotated[float, Field(ge=0)]] = {}
    changes: Mapping[str, Change] = {}
    """Bounds of an argument against a tool's answer; without that answer the action is refused."""
    needs: tuple[str, ...] = ()
    """Tools that must have answered before the action."""
    write: Write | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> "ActionSpec":
        named = (
            set(self.within)
            | set(self.changes)
            | {
                value[1:]
                for value in (self.write.arguments.values() if self.write else ())
                if isinstance(value, str) and value.startswith("$")
            }
        )
        unknown = named - set(self.arguments) - {"target"}
        if unknown:
            raise ValueError(
                f"`within`, `changes` or `write` names {sorted(unknown)}, which is no argument of the action"
            )
        return self


class SnapshotCall(SpecModel):
    """One read at decision time; `{name}` in an argument is that field of the decision's input."""

    tool: str
    arguments: Mapping[str, Any]


class Terms(SpecModel):
    """Words by which an expert says where to look; only the names on the left reach an oracle."""

    metrics: Mapping[str, tuple[str, ...]] = {}
    windows: Mapping[str, tuple[str, ...]] = {}


class SubAgentSpec(SpecModel):
    """An agent that the main one calls as a tool: it reads, and answers with one JSON object.

    It is asked through `question` alone, which is filled from the decision's input (`{input}` is all of it)
    and from arguments whose values are listed, so nothing else that the main agent was told reaches it.
    """

    description: str
    question: str
    arguments: Mapping[str, Argument] = {}
    answers: Mapping[str, Argument] = {}
    """Members of its answer besides `finding` and `cited_metrics`."""
    finding_characters: int = Field(default=2000, ge=1)
    """Longest finding."""
    max_turns: int = Field(default=8, ge=1)
    """Turns of the model for one answer."""
    prompt: str = ""
    """Its system prompt, from `sub_agents/NAME/prompt.md`."""
    declarations: tuple[Mapping[str, Any], ...] = ()
    """Its tools, from `sub_agents/NAME/toolset.json`; a string there names a tool of the main agent."""

    @model_validator(mode="after")
    def _carries_no_free_text(self) -> "SubAgentSpec":
        free = sorted(name for name, one in self.arguments.items() if one.type == "string" and not one.values)
        if free:
            raise ValueError(f"the arguments {free} are free text; list their values, so that nothing leaks")
        return self


class DecisionSpec(SpecModel):
    """Bounds of what an agent writes as its decision."""

    target: str | None = None
    """Field of the decision's input that the action's target must be; None: any target."""
    spend: str | None = Field(default=None, exclude_if=lambda name: name is None)
    """Argument of actions that is the money at stake, in minor units of the account's currency."""
    rationale_characters: int = Field(default=4000, ge=1)
    cited_metrics: int = Field(default=32, ge=0)


class AgentSpec(SpecModel):
    """Everything opoi knows of one agent."""

    name: Name
    version: str
    actions: Mapping[str, ActionSpec]
    tools: Mapping[str, ToolSpec]
    sub_agents: Mapping[Name, SubAgentSpec] = {}
    sub_agent_calls: int = Field(default=8, ge=0)
    """Calls of sub-agents in one decision."""
    decision: DecisionSpec = DecisionSpec()
    segment: str
    """Segment of a decision; `{name}` is that field of its input."""
    snapshot: tuple[SnapshotCall, ...] = ()
    terms: Terms = Terms()
    endpoint: HttpUrl | None = Field(default=None, exclude_if=lambda url: url is None)
    """Where the agent serves opoi's HTTP contract; absent: the runtime of opoi runs it. A worker's setting
    `replay.endpoints` overrides it."""

    @model_validator(mode="after")
    def _tools_exist(self) -> "AgentSpec":
        for name, action in self.actions.items():
            tool = self.tools.get(action.write.tool) if action.write else None
            if action.write and (tool is None or tool.effect != "write"):
                raise ValueError(
                    f"action {name!r} is carried out by {action.write.tool!r}, which is no write tool"
                )
            needed = {*action.needs, *(change.tool for change in action.changes.values())}
            if not needed <= set(self.tools):
                raise ValueError(
                    f"action {name!r} needs {sorted(needed - set(self.tools))}, which are no tools"
                )
        if self.decision.spend and not any(
            self.decision.spend in one.arguments for one in self.actions.values()
        ):
            raise ValueError(f"decision.spend is {self.decision.spend!r}, which no action has as an argument")
        unknown = {call.tool for call in self.snapshot if self.effect(call.tool) != "read"}
        if unknown:
            raise ValueError(f"the snapshot calls {sorted(unknown)}, which are no read tools")
        return self

    @model_validator(mode="after")
    def _sub_agents_only_read(self) -> "AgentSpec":
        for name, tool in self.tools.items():
            if tool.sub_agent is not None and tool.sub_agent not in self.sub_agents:
                raise ValueError(f"tool {name!r} is answered by {tool.sub_agent!r}, which is no sub-agent")
        for name, sub_agent in self.sub_agents.items():
            for declaration in sub_agent.declarations:
                own = self.tools.get(str(declaration.get("name")))
                if own is None or own.effect != "read" or own.sub_agent is not None:
                    raise ValueError(
                        f"sub-agent {name!r} has the tool {declaration.get('name')!r}; a sub-agent may only "
                        "have tools that read a platform"
                    )
        return self

    @classmethod
    def parse(cls, content: bytes | str) -> "AgentSpec":
        """The spec in YAML or JSON. Raises SpecError."""
        try:
            return cls.of(yaml.safe_load(content))
        except yaml.YAMLError as error:
            raise SpecError(f"this is no AgentSpec: {error}") from error

    @classmethod
    def of(cls, loaded: object) -> "AgentSpec":
        """The spec in what was loaded from YAML or JSON. Raises SpecError."""
        try:
            return cls.model_validate(loaded)
        except ValidationError as error:
            raise SpecError(f"this is no AgentSpec: {error}") from error

    def content(self) -> bytes:
        """The artifact's bytes: canonical JSON."""
        return canonical_json(self.model_dump(mode="json")).encode()

    @property
    def spec_id(self) -> str:
        """sha256 of the artifact."""
        return sha256(self.content())

    def effect(self, tool: str) -> Effect | None:
        """Whether the tool reads or writes; None where the spec does not know it."""
        return self.tools[tool].effect if tool in self.tools else None

    def spend_of(self, action: Action) -> float:
        """The money that an action moves, in minor units; 0 where it names none."""
        amount = _arguments(action).get(self.decision.spend) if self.decision.spend else None
        return abs(amount) if isinstance(amount, int | float) else 0.0

    def segment_of(self, values: Mapping[str, Any]) -> str:
        """The segment of a decision with this input. Raises SpecError for a field it lacks."""
        try:
            return self.segment.format_map(values)
        except KeyError as error:
            raise SpecError(f"the segment rule {self.segment!r} needs {error} of the input") from error

    def expected_write(
        self, action: Action, arguments: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]] | None:
        """The tool call that carries out `action`, and its arguments; None for one that changes nothing."""
        write = self.actions[action.name].write
        if write is None:
            return None
        known = {"target": action.target, **arguments}
        return write.tool, {
            name: known[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            for name, value in write.arguments.items()
        }


def actions_match(spec: AgentSpec, one: Action, other: Action) -> bool:
    """Whether two actions are the same decision by the spec's rule.

    An argument that only one of the two names is not compared: an expert may leave the amount open.
    """
    if one.name != other.name or one.name not in spec.actions or one.target != other.target:
        return False
    ours, theirs = _arguments(one), _arguments(other)
    within = spec.actions[one.name].within
    return all(_agree(ours[name], theirs[name], within.get(name)) for name in ours.keys() & theirs.keys())


def _agree(one: object, other: object, tolerance: float | None) -> bool:
    if tolerance is None or not isinstance(one, int | float) or not isinstance(other, int | float):
        return one == other
    if one <= 0 or other <= 0:
        return one == other
    return abs(math.log(one / other)) <= math.log1p(tolerance) + 1e-12


def _arguments(action: Action) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(action.arguments_json)
    return loaded
