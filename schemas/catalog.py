"""The catalog: every schema and topic of this folder, loaded and checked for completeness."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import fastavro.schema
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import CatalogError
from schemas.names import is_name

NAMESPACE = "opoi"
HERE = Path(__file__).parent
AVSC = HERE / "avsc"
TOPICS = HERE / "topics"
EXAMPLES = HERE / "examples"

DAY = 24 * 60 * 60 * 1000
MIB = 1024 * 1024
_SEGMENT_MS = 7 * DAY  # Kafka's default


class TopicSpec(BaseModel):
    """One topic as its YAML states it. Times in milliseconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Logical name; settings map it to a physical one."""
    description: str
    owner: str
    key: str
    """What the message key holds."""
    record: str | None
    """Name of the Avro record; null: raw bytes."""
    identity: tuple[str, ...] = ()
    """Fields that identify a record: records with equal values are the same one. Empty for raw topics."""
    version: tuple[str, ...] = ()
    """Fields that order the versions of one identity; the highest is live."""
    compatibility: Literal["BACKWARD_TRANSITIVE"] = "BACKWARD_TRANSITIVE"
    partitions: int | None = None
    """Fixed partition count; null: the pipeline's common count."""
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = None
    """Null: records are kept for ever."""
    max_message_bytes: int = 4 * MIB
    sink: bool = True
    """Whether the sink writes it to ClickHouse."""
    produced: bool = True
    """Whether a stage or other code of ours writes or reads the topic yet. False for one that nothing writes,
    and for one that only another tool writes and only the sink lands. Until then the schema may change in any
    way: its compatibility is not checked and no golden files are kept."""
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    example: str | None = Field(default=None)
    """File below `schemas/examples`; null for raw topics."""

    @property
    def registered_compatibility(self) -> str:
        """Compatibility level of the subject at the registry."""
        return self.compatibility if self.produced else "NONE"

    def topic_config(self) -> dict[str, str]:
        """The topic's configuration at the broker."""
        config = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            # stages use the broker's clock, not the producer's
            "message.timestamp.type": "LogAppendTime",
        }
        if self.cleanup == "delete":
            config["retention.ms"] = str(-1 if self.retention_ms is None else self.retention_ms)
            if self.retention_ms is not None and self.retention_ms < _SEGMENT_MS:
                # only closed segments are deleted
                config["segment.ms"] = str(self.retention_ms)
        return config


@cache
def topics() -> dict[str, TopicSpec]:
    """Every topic by logical name. Raises CatalogError naming the file at fault."""
    found: dict[str, TopicSpec] = {}
    for path in sorted(TOPICS.glob("*.yaml")):
        try:
            spec = TopicSpec(name=path.stem, **yaml.safe_load(path.read_text()))
        except (ValidationError, TypeError, yaml.YAMLError) as error:
            raise CatalogError(f"{path}: {error}") from error
        if spec.record is not None and not (AVSC / f"{NAMESPACE}.{spec.record}.avsc").exists():
            raise CatalogError(f"{path}: record {spec.record!r} has no schema in {AVSC}")
        found[spec.name] = spec
    return found


def topic(name: str) -> TopicSpec:
    """One topic. Raises CatalogError where there is none of that name."""
    try:
        return topics()[name]
    except KeyError:
        raise CatalogError(f"no topic {name!r}; known: {', '.join(topics())}") from None


@cache
def client_message_bytes() -> int:
    """The largest record that a client of ours may send: above every topic's own limit, so that the topic's
    limit decides, which is measured before a record is sent."""
    return MIB + max(spec.max_message_bytes for spec in topics().values())


@cache
def schema(record: str) -> dict[str, Any]:
    """The self-contained Avro schema of a record, parsed by fastavro."""
    path = AVSC / f"{NAMESPACE}.{record}.avsc"
    if not is_name(record) or not path.exists():
        raise CatalogError(f"no schema of record {record!r} in {AVSC}")
    loaded = fastavro.schema.load_schema(str(path))
    assert isinstance(loaded, dict)
    return loaded


def plain_schema(record: str) -> dict[str, Any]:
    """The self-contained Avro schema without fastavro's own marks, as it is registered."""
    return plain(schema(record))  # type: ignore[no-any-return]


def plain(part: Any) -> Any:
    """`part` of a parsed schema without fastavro's own marks."""
    if isinstance(part, dict):
        return {key: plain(value) for key, value in part.items() if not key.startswith("__")}
    if isinstance(part, list):
        return [plain(item) for item in part]
    return part


def references(part: Any) -> Iterator[str]:
    """Full names of our schemas that a raw schema refers to, without its own."""
    if isinstance(part, str):
        if part.startswith(f"{NAMESPACE}."):
            yield part
    elif isinstance(part, list):
        for item in part:
            yield from references(item)
    elif isinstance(part, dict):
        for key in ("type", "items", "values"):
            yield from references(part.get(key))
        for field in part.get("fields", []):
            yield from references(field["type"])
