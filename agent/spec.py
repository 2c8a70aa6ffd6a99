"""The AgentSpec: what opoi must know of an agent to compare its actions and to replay its tools.

It is written once for each agent (for the media buyer: `agent/media_buyer/spec.yaml`) and kept as an
artifact, so that everything that reads it knows no media buying.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.identity import canonical_json, sha256
from schemas.records import Action, Effect
from schemas.settings import HttpUrl


class SpecError(ValueError):
    """An AgentSpec that contradicts itself or cannot be read; the text says where."""


class SpecModel(BaseModel):
    """Part of an AgentSpec: immutable, an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Argument(SpecModel):
    """One argument of an action; amounts of money are integers in minor units."""

    type: Literal["integer", "number", "string"]
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    """The strings that are allowed; empty: any."""

    def fault(self, value: object) -> str | None:
        """What is wrong with `value`; None where nothing is."""
        kinds: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "string": (str,)}
        if isinstance(value, bool) or not isinstance(value, kinds[self.type]):
            return f"must be of type {self.type}, not {value!r}"
        if isinstance(value, str):
            return (
                f"must be one of {', '.join(self.values)}"
                if self.values and value not in self.values
                else None
            )
        if not isinstance(value, int | float):
            return None
        if self.minimum is not None and value < self.minimum:
            return f"is {value}, below {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"is {value}, above {self.maximum:g}"
        return None


class Write(SpecModel):
    """The tool call that carries an action out. An argument's value is `$target`, `$` and the name of an
    argument of the action, or stands as it is."""

    tool: str
    arguments: Mapping[str, str | int] = {}


class ActionSpec(SpecModel):
    """One action of the enumeration. Two of them match where every argument does: those named in
    `within` by ratio, |ln(a / b)| <= ln(1 + tolerance), the others by equality."""

    description: str
    arguments: Mapping[str, Argument] = {}
    within: Mapping[str, Annotated[float, Field(ge=0)]] = {}
    write: Write | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> "ActionSpec":
        named = set(self.within) | {
            value[1:]
            for value in (self.write.arguments.values() if self.write else ())
            if isinstance(value, str) and value.startswith("$")
        }
        unknown = named - set(self.arguments) - {"target"}
        if unknown:
            raise ValueError(
                f"`within` or `write` names {sorted(unknown)}, which the action has no argument for"
            )
        return self


class Presets(SpecModel):
    """How a tool's date argument names days: first and last day, counted back from today (0)."""

    argument: str
    days: Mapping[str, tuple[int, int]]
    increment: str | None = None
    """Argument whose value 1 asks for one row a day; without it a row covers the whole range."""


class Ratio(SpecModel):
    """A field that is a quotient of additive ones. Over days it is the sum of `numerator` over the sum of
    `denominator`; without a numerator it is the mean of the daily values weighted by the denominator, which
    is the same where every day with a denominator has a value or a value of 0."""

    denominator: str
    numerator: str | None = None


class Rows(SpecModel):
    """The table in a tool's response, and how its rows combine over days."""

    path: str
    date: str
    date_end: str
    fields: str
    """Argument that lists the fields asked for."""
    constant: tuple[str, ...] = ()
    """Fields that are the same in every row of an entity."""
    additive: tuple[str, ...] = ()
    """Fields that add up over days: numbers as strings, or lists of {action_type, value}."""
    ratios: Mapping[str, Ratio] = {}


class ToolSpec(SpecModel):
    """What a tool does, and how its requests are compared."""

    effect: Effect
    entity: str | None = None
    """Argument that names what is asked about."""
    sets: tuple[str, ...] = ()
    """Arguments whose order and repetition mean nothing."""
    dates: Presets | None = None
    rows: Rows | None = None
    simulated: Mapping[str, Any] | None = None
    """What a simulated write answers, in the tool's own shape."""

    @model_validator(mode="after")
    def _writes_can_be_simulated(self) -> "ToolSpec":
        if (self.effect == "write") != (self.simulated is not None):
            raise ValueError("a tool that writes needs `simulated`, one that reads must not have it")
        return self

    def normalise(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in the form that is hashed: nothing that is null, sets sorted without repetition."""
        normal = {name: value for name, value in arguments.items() if value is not None}
        for name in self.sets:
            if isinstance(normal.get(name), list | tuple):
                normal[name] = sorted({item for item in normal[name] if isinstance(item, str)})
        return normal


class SnapshotCall(SpecModel):
    """One read at decision time; `{name}` in an argument is that field of the decision's input."""

    tool: str
    arguments: Mapping[str, Any]


class Terms(SpecModel):
    """Words by which an expert says where to look; only the names on the left reach an oracle."""

    metrics: Mapping[str, tuple[str, ...]] = {}
    windows: Mapping[str, tuple[str, ...]] = {}


class AgentSpec(SpecModel):
    """Everything opoi knows of one agent."""

    name: str
    version: str
    actions: Mapping[str, ActionSpec]
    tools: Mapping[str, ToolSpec]
    segment: str
    """Segment of a decision; `{name}` is that field of its input."""
    snapshot: tuple[SnapshotCall, ...] = ()
    terms: Terms = Terms()
    endpoint: HttpUrl | None = Field(default=None, exclude_if=lambda url: url is None)
    """Where the agent serves opoi's HTTP contract; absent: the runtime of opoi runs it. A worker's setting
    `replay.endpoints` goes before it."""

    @model_validator(mode="after")
    def _tools_exist(self) -> "AgentSpec":
        for name, action in self.actions.items():
            tool = self.tools.get(action.write.tool) if action.write else None
            if action.write and (tool is None or tool.effect != "write"):
                raise ValueError(
                    f"action {name!r} is carried out by {action.write.tool!r}, which is no write tool"
                )
        unknown = {call.tool for call in self.snapshot if self.effect(call.tool) != "read"}
        if unknown:
            raise ValueError(f"the snapshot calls {sorted(unknown)}, which are no read tools")
        return self

    @classmethod
    def parse(cls, content: bytes | str) -> "AgentSpec":
        """The spec in YAML or JSON. Raises SpecError."""
        try:
            return cls.model_validate(yaml.safe_load(content))
        except (yaml.YAMLError, ValidationError) as error:
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

    def segment_of(self, values: Mapping[str, Any]) -> str:
        """The segment of a decision with this input. Raises SpecError for a field it lacks."""
        try:
            return self.segment.format_map(values)
        except KeyError as error:
            raise SpecError(f"the segment rule {self.segment!r} needs {error} of the input") from error

    def expected_write(
        self, action: Action, arguments: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]] | None:
        """The tool call that carries `action` out, and its arguments; None for one that changes nothing."""
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
