"""Registers the schemas of topics, and checks them: offline against git, or against a registry."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from schemas.catalog import HERE, TopicSpec, plain, plain_schema, topics
from schemas.cleaned_schema import UnsafeSchema
from schemas.compat import incompatibilities
from schemas.decode_limits import writer_schema
from schemas.deployment import Fault, Report, WireSettings
from schemas.errors import DeployRefused, NotRegistered, RegistryAway
from schemas.history import NoHistory, earlier_versions

if TYPE_CHECKING:
    from schemas.registry import ConfluentRegistry

Outcome = Literal[
    "registered", "unchanged", "compatible", "incompatible", "not registered", "not produced", "not run"
]


@dataclass(frozen=True, slots=True)
class SchemaResult:
    """The result of registering or checking the schema of one topic."""

    topic: str
    record: str
    subject: str
    outcome: Outcome
    """`registered`: by this call; `unchanged`: it was registered before; the others are results of a check.
    `not produced`: nothing writes the topic yet, so there is nothing to compare with."""
    schema_id: int | None = None
    versions: int | None = None
    """How many earlier versions it was compared with."""
    problems: tuple[str, ...] = field(default=())
    """One line each, naming the field."""

    @property
    def is_fault(self) -> bool:
        """Whether it makes a check fail."""
        return self.outcome != "not run" and (self.outcome == "not registered" or bool(self.problems))


def with_records() -> Iterator[tuple[TopicSpec, str]]:
    """Every topic that carries records, with the record's name."""
    for spec in topics().values():
        if spec.record is not None:
            yield spec, spec.record


def apply_schemas(settings: WireSettings, report: Report) -> list[SchemaResult]:
    """Registers every topic's schema under its subject and sets the subject's compatibility; idempotent.

    Raises DeployRefused (one line for each schema that the registry refused, naming the field; the
    others are registered) and RegistryAway.
    """
    registry = _registry(settings)
    results = [_apply(registry, settings, spec, record, report) for spec, record in with_records()]
    refused = [line for result in results for line in result.problems]
    if refused:
        raise DeployRefused("\n".join(refused))
    return results


def _apply(
    registry: "ConfluentRegistry", settings: WireSettings, spec: TopicSpec, record: str, report: Report
) -> SchemaResult:
    subject = f"{settings.kafka.physical(spec.name)}-value"
    schema = plain_schema(record)
    if registry.compatibility(subject) != spec.registered_compatibility:
        registry.set_compatibility(subject, spec.registered_compatibility)
    try:
        return SchemaResult(spec.name, record, subject, "unchanged", registry.id_of(subject, schema))
    except NotRegistered:
        pass  # it is registered below
    try:
        schema_id = registry.register(subject, schema)
    except DeployRefused as error:
        lines = _against(schema, registry.schemas_of(subject)) or [str(error)]
        problems = tuple(f"{subject}: {record} refused: {line}; {_REPAIR}" for line in lines)
        return SchemaResult(spec.name, record, subject, "incompatible", problems=problems)
    report(f"{subject}: {record} registered with id {schema_id}")
    return SchemaResult(spec.name, record, subject, "registered", schema_id)


_REPAIR = "give a new field a default, keep the types of old ones, or make a new topic"


def check_schemas(folder: Path = HERE) -> list[SchemaResult]:
    """This version's schemas against every earlier one in git; no registry is needed.

    Without a whole git history the outcome is `not run`, with the reason among the problems.
    """
    try:
        earlier = earlier_versions(folder)
    except NoHistory as error:
        return [
            SchemaResult(s.name, r, f"{s.name}-value", "not run", problems=(str(error),))
            for s, r in with_records()
        ]
    versions: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for version in earlier:
        versions[version.topic].append((f"commit {version.commit}", version.schema))
    results = []
    for spec, record in with_records():
        if not spec.produced:
            results.append(SchemaResult(spec.name, record, f"{spec.name}-value", "not produced"))
            continue
        problems = tuple(_against(plain_schema(record), versions[spec.name]))
        outcome: Outcome = "incompatible" if problems else "compatible"
        compared = len(versions[spec.name])
        results.append(
            SchemaResult(
                spec.name, record, f"{spec.name}-value", outcome, versions=compared, problems=problems
            )
        )
    return results


def check_registered(settings: WireSettings) -> list[SchemaResult]:
    """This version's schemas against what the registry has. Raises RegistryAway."""
    registry = _registry(settings)
    return [_check(registry, settings, spec, record) for spec, record in with_records()]


def _check(
    registry: "ConfluentRegistry", settings: WireSettings, spec: TopicSpec, record: str
) -> SchemaResult:
    subject = f"{settings.kafka.physical(spec.name)}-value"
    schema = plain_schema(record)
    known = registry.schemas_of(subject) if spec.produced else []
    problems = _against(schema, known)
    try:
        schema_id = registry.id_of(subject, schema)
    except NotRegistered:
        outcome: Outcome = "incompatible" if problems else "not registered"
        return SchemaResult(
            spec.name, record, subject, outcome, versions=len(known), problems=tuple(problems)
        )
    stated = registry.compatibility(subject)
    if stated != spec.registered_compatibility:
        problems.append(f"compatibility is {stated}, must be {spec.registered_compatibility}")
    return SchemaResult(
        spec.name,
        record,
        subject,
        "unchanged",
        schema_id,
        versions=len(known),
        problems=tuple(problems),
    )


def schema_faults(settings: WireSettings) -> list[Fault]:
    """What is wrong at the registry, for `opoi doctor`; a registry that does not answer is a fault, too."""
    try:
        results = check_registered(settings)
    except RegistryAway as error:
        return [Fault("registry", str(error), "start it, or set OPOI_REGISTRY__URL")]
    faults: list[Fault] = []
    for result in results:
        remedy = _REPAIR if result.outcome == "incompatible" else "run `opoi schemas apply`"
        problems = result.problems or (("this version is not registered",) if result.is_fault else ())
        faults.extend(Fault(result.subject, f"{result.record}: {text}", remedy) for text in problems)
    return faults


def _against(schema: dict[str, Any], earlier: Iterable[tuple[str, Any]]) -> list[str]:
    """One line for each field that prevents `schema` from reading an earlier version, naming the first such.

    An earlier version that cannot be used for decoding has a line of its own.
    """
    found: dict[str, str] = {}
    for name, writer in earlier:
        try:
            if isinstance(writer, UnsafeSchema):
                raise writer
            lines = incompatibilities(schema, plain(writer_schema(writer, schema).schema))
        except UnsafeSchema as fault:
            lines = [f"this version cannot be used for decoding, {fault}; delete it at the registry"]
        for line in lines:
            found.setdefault(line, name)
    return [f"{line} (against {name})" for line, name in found.items()]


def _registry(settings: WireSettings) -> "ConfluentRegistry":
    # imported late: it takes half a second, and the offline check does not need it
    from schemas.registry import ConfluentRegistry

    return ConfluentRegistry(settings.registry)
