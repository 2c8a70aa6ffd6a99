"""The tools of an AgentSpec: effect, how requests are compared, how rows combine."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from schemas.identity import canonical_json
from schemas.records import Effect


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
            return f"is {value}, below {self.minimum:.15g}"
        if self.maximum is not None and value > self.maximum:
            return f"is {value}, above {self.maximum:.15g}"
        return None


class Presets(SpecModel):
    """How a tool's date argument names days: first and last day, counted back from today (0)."""

    argument: str
    days: Mapping[str, tuple[int, int]]
    range: str | None = None
    """Argument that names the days instead: an object of two ISO dates, `since` and `until`."""
    increment: str | None = None
    """Argument whose value 1 asks for one row a day; without it, or with `all_days`, a row covers the whole
    range. A request with another value is answered only by an identical recorded one."""


class Ratio(SpecModel):
    """A field that is a quotient of additive ones: the sum of `numerator` over the sum of `denominator`."""

    denominator: str
    numerator: str | None = None
    weighted: bool = False
    """Where the numerator is not known, use the mean of the daily values weighted by the denominator. It is
    the same where every day with a denominator has a value, which may be 0."""
    scale: int = 1
    """What the quotient is multiplied by, such as 1000 for a price of a thousand; needs a numerator."""
    kinds: Mapping[str, str] = {}
    """For a field that is a list: its entries' kinds, each with the kind that it counts in a list field of
    numerator or denominator. Empty: a plain number."""


class Rows(SpecModel):
    """The table in a tool's response, and how its rows combine over days."""

    path: str
    date: str
    date_end: str
    keys: tuple[str, ...] = ()
    """Fields that distinguish rows of the same day, where rows have them: an ad set's id, an age group."""
    level: str | None = None
    """Argument that asks for one row for each entity below the one asked about."""
    levels: Mapping[str, str] = {}
    """The field that holds the entity's id, by value of `level`; distinguishes rows of a day like `keys`."""
    windows: str | None = None
    """Argument that lists further counts of each list entry, such as attribution windows."""
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
    """Arguments whose order and repetition have no meaning."""
    dates: Presets | None = None
    rows: Rows | None = None
    simulated: Mapping[str, Any] | None = None
    """What a simulated write answers, in the tool's own shape."""
    sub_agent: str | None = None
    """The sub-agent that answers, instead of a platform."""

    @model_validator(mode="after")
    def _writes_can_be_simulated(self) -> "ToolSpec":
        if (self.effect == "write") != (self.simulated is not None):
            raise ValueError("a tool that writes needs `simulated`, one that reads must not have it")
        if self.sub_agent is not None and self.effect == "write":
            raise ValueError(f"the sub-agent {self.sub_agent!r} answers a tool that writes; it may only read")
        return self

    def normalise(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in the form that is hashed: nothing that is null, sets sorted without repetition,
        texts first."""
        normal = {name: value for name, value in arguments.items() if value is not None}
        for name in self.sets:
            if isinstance(normal.get(name), list | tuple):
                normal[name] = _sorted_once(normal[name])
        return normal


def _sorted_once(items: Sequence[Any]) -> list[Any]:
    others = {canonical_json(item): item for item in items if not isinstance(item, str)}
    return [
        *sorted({item for item in items if isinstance(item, str)}),
        *(others[key] for key in sorted(others)),
    ]
