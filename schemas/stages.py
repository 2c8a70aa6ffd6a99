"""The stages, loaded from `stages.yaml`, the one list of them, and checked against the topics."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.catalog import AVSC, NAMESPACE, TopicSpec, topics
from schemas.errors import CatalogError

STAGES = Path(__file__).with_name("stages.yaml")
METRICS_SLOTS = 20
"""Metrics ports that a one-machine stack reserves for its stages."""

DISPOSITIONS = "opoi.dispositions"
REJECTIONS = "opoi.rejections"
DEAD_LETTERS = "opoi.dead-letters"
RETRY = "opoi.retry."
"""Prefix of the names of retry topics; the stage follows."""
TICKS = "opoi.ticks."
"""Prefix of the names of tick topics; the stage follows."""

_LANDED = "every landed topic"
_EVERY_TICK = "every tick topic"


def group_of(stage: str) -> str:
    """The consumer group of a stage; its changelog is named after it."""
    return f"opoi-{stage}"


def retry_of(stage: str) -> str:
    """The topic through which dead letters are sent to a stage again."""
    return RETRY + stage


def ticks_of(stage: str) -> str:
    """The topic of a keyed stage's clock."""
    return TICKS + stage


def changelog_of(stage: str) -> str:
    """The changelog topic of a keyed stage's table."""
    return f"{group_of(stage)}-state-changelog"


class KeyedSpec(BaseModel):
    """The table of a keyed stage: one state a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """What its keys hold, as in the `key` of its topics."""
    state: str
    """Name of the Avro record of a state."""


class StageSpec(BaseModel):
    """One stage as `stages.yaml` states it; topics by logical name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    description: Annotated[str, Field(pattern=r"\.$")]
    sources: tuple[str, ...] = ()
    """Topics that it processes; `every landed topic`: those whose files do not say `sink: false`."""
    looks_up: tuple[str, ...] = ()
    """Topics that it reads besides its sources, without processing each record."""
    outputs: tuple[str, ...] = ()
    """Topics that it writes by rules of its own; `every tick topic`: that of each keyed stage. What every
    stage of its kind writes is added in `writes`."""
    keyed: KeyedSpec | None = None
    """Its table; null: a stage without memory."""
    co_partitioned: tuple[str, ...] = ()
    """Sources and outputs that must have the same partition count. The sources, retry, tick and changelog
    topics of a keyed stage must anyway: a key's state is on one partition number."""
    accounted: bool = True
    """Whether each of its inputs gets a disposition."""
    settings: tuple[str, ...] = ()
    """Groups of settings that its process needs besides those of every worker, in upper case, as variables
    begin with them."""
    environment: tuple[str, ...] = ()
    """Other variables that its process needs, `*` for anything."""
    metrics_slot: Annotated[int, Field(ge=0, lt=METRICS_SLOTS)]
    """Its metrics port in a one-machine stack, counted from `OPOI_LOCAL__METRICS_PORT`; never changed."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Topics that its consumer subscribes to."""
        retry = (retry_of(self.name),) if self.sources else ()
        ticks = (ticks_of(self.name),) if self.keyed else ()
        return (*self.sources, *retry, *ticks)

    @property
    def reads(self) -> tuple[str, ...]:
        """Every topic that it reads."""
        changelog = (changelog_of(self.name),) if self.keyed else ()
        return (*self.inputs, *self.looks_up, *changelog)

    @property
    def writes(self) -> tuple[str, ...]:
        """Every topic that it writes."""
        accounts = (DISPOSITIONS, REJECTIONS) if self.accounted else ()
        letters = (DEAD_LETTERS,) if self.sources else ()
        changelog = (changelog_of(self.name),) if self.keyed else ()
        return (*self.outputs, *accounts, *letters, *changelog)

    @property
    def together(self) -> tuple[str, ...]:
        """Topics that must have the same partition count, its changelog among them."""
        keyed = (*self.inputs, changelog_of(self.name)) if self.keyed else ()
        return tuple(dict.fromkeys((*keyed, *self.co_partitioned)))


@cache
def stages() -> Mapping[str, StageSpec]:
    """Every stage by name, in the order of the file. Raises CatalogError naming the stage at fault."""
    try:
        listed = yaml.safe_load(STAGES.read_text())
    except yaml.YAMLError as error:
        raise CatalogError(f"{STAGES}: {error}") from error
    return load(listed, topics())


def load(listed: Any, known: Mapping[str, TopicSpec]) -> dict[str, StageSpec]:
    """The stages that `listed` states, over the topics `known`. Raises CatalogError."""
    landed = tuple(name for name, spec in known.items() if spec.sink)
    try:
        ticks = tuple(ticks_of(str(each.get("name"))) for each in listed if each.get("keyed"))
        meant = {_LANDED: landed, _EVERY_TICK: ticks}
        found = [StageSpec(**{name: _meant(value, meant) for name, value in each.items()}) for each in listed]
    except (ValidationError, TypeError, AttributeError) as error:
        raise CatalogError(f"{STAGES}: {error}") from error
    for field in ("name", "metrics_slot"):
        _check_unique(field, found)
    for spec in found:
        if faults := _faults(spec, known, {*known, *ticks}):
            raise CatalogError(f"{STAGES}: stage {spec.name}: {faults[0]}")
    return {spec.name: spec for spec in found}


def stage(name: str) -> StageSpec:
    """One stage. Raises CatalogError where there is none of that name."""
    try:
        return stages()[name]
    except KeyError:
        raise CatalogError(f"no stage {name!r}; known: {', '.join(stages())}") from None


def _meant(value: Any, meant: Mapping[str, tuple[str, ...]]) -> Any:
    return meant.get(value, value) if isinstance(value, str) else value


def _check_unique(field: str, found: Iterable[StageSpec]) -> None:
    seen: dict[Any, str] = {}
    for spec in found:
        value = getattr(spec, field)
        if value in seen:
            raise CatalogError(f"{STAGES}: {field} {value} is that of {seen[value]} and of {spec.name}")
        seen[value] = spec.name


def _faults(spec: StageSpec, known: Mapping[str, TopicSpec], named: set[str]) -> list[str]:
    """How a stage contradicts the topics."""
    faults = [
        f"there is no topic {name}"
        for name in (*spec.sources, *spec.looks_up, *spec.outputs)
        if name not in named
    ]
    faults += [
        f"co_partitioned names {name}, which is neither a source nor an output"
        for name in spec.co_partitioned
        if name not in (*spec.sources, *spec.outputs)
    ]
    if spec.keyed and not (AVSC / f"{NAMESPACE}.{spec.keyed.state}.avsc").exists():
        faults.append(f"its state {spec.keyed.state!r} has no schema in {AVSC}")
    if not spec.sources and (spec.keyed or spec.accounted):
        faults.append("it has no sources, so it can be neither keyed nor accounted")
    # its retry, tick and changelog topics are generated to fit
    together = (*(spec.sources if spec.keyed else ()), *spec.co_partitioned)
    counts = {name: known[name].partitions or "the common count" for name in together if name in known}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        faults.append(f"these topics must have one partition count: {said}")
    return faults
