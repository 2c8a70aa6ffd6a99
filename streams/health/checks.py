"""The checks of the pipeline in `opoi doctor`, wherever it runs; each fault with what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

from agent.settings import ReplaySettings
from streams.health.probes import answers_http, broker_answers
from streams.settings import Settings

Outcome = Literal["ok", "fault", "skipped"]
MANY = 3
"""Faults of one kind that are listed one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: in words, and what to do about a fault."""

    check: str
    outcome: Outcome
    message: str
    remedy: str = ""


class Pipeline:
    """What the checks need to know; each asked once, when a check first needs it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def broker_answers(self) -> bool:
        """Whether the broker answers."""
        return broker_answers(self.settings.kafka)


def ok(check: str, message: str) -> Finding:
    """A finding without fault."""
    return Finding(check, "ok", message)


def skipped(check: str, why: str) -> Finding:
    """A finding that was not checked."""
    return Finding(check, "skipped", why)


def fault(check: str, message: str, remedy: str) -> Finding:
    """A fault and its remedy."""
    return Finding(check, "fault", message, remedy)


def broker(pipeline: Pipeline) -> Iterator[Finding]:
    """The broker answers."""
    where = pipeline.settings.kafka.bootstrap_servers
    if pipeline.broker_answers:
        yield ok("broker", f"answers at {where}")
    else:
        yield fault("broker", f"no answer at {where}", "run `opoi up`, or set OPOI_KAFKA__BOOTSTRAP_SERVERS")


def topics(pipeline: Pipeline) -> Iterator[Finding]:
    """Every topic of the catalog exists, with its partitions and settings."""
    from schemas.catalog import topics as catalog
    from schemas.deploy import topic_faults

    if not pipeline.broker_answers:
        yield skipped("topics", "the broker does not answer")
        return
    faults = [
        fault("topics", f"{found.subject}: {found.problem}", found.remedy)
        for found in topic_faults(pipeline.settings)
    ]
    yield from few("topics", faults)
    if not faults:
        yield ok("topics", f"all {len(catalog())} exist as in the catalog")


def registry(pipeline: Pipeline) -> Iterator[Finding]:
    """The registry answers and has every schema."""
    from schemas.deploy import schema_faults

    found = schema_faults(pipeline.settings)
    yield from few(
        "registry", [fault("registry", f"{one.subject}: {one.problem}", one.remedy) for one in found]
    )
    if not found:
        yield ok("registry", f"has every schema, at {pipeline.settings.registry.url}")


def clickhouse(pipeline: Pipeline) -> Iterator[Finding]:
    """ClickHouse answers and has every table."""
    from sinks.clickhouse import ClickHouseAway, StatementRefused
    from sinks.migrate import MigrationRefused, status

    where = pipeline.settings.clickhouse.url
    if not answers_http(f"{where}/ping"):
        yield fault("clickhouse", f"no answer at {where}", "run `opoi up`, or set OPOI_CLICKHOUSE__URL")
        return
    try:
        steps = status(pipeline.settings.clickhouse)
    except (ClickHouseAway, MigrationRefused, StatementRefused) as error:
        yield fault("clickhouse", str(error), "see the message")
        return
    missing = [step for step in steps if step.applied_at is None]
    if missing:
        message = f"{len(missing)} of {len(steps)} migrations are missing"
        yield fault("clickhouse", message, "run `opoi migrate up`")
    else:
        yield ok("clickhouse", f"all {len(steps)} migrations are applied, at {where}")


def secret(pipeline: Pipeline) -> Iterator[Finding]:
    """A shared pipeline does not use the built-in, public secret of the oracle."""
    default = ReplaySettings().oracle_secret
    host = urlsplit(f"//{pipeline.settings.kafka.bootstrap_servers.split(',')[0]}").hostname
    if pipeline.settings.replay.oracle_secret == default and host not in ("127.0.0.1", "localhost", "::1"):
        message = "OPOI_REPLAY__ORACLE_SECRET is the built-in one, with a broker that is not on this machine"
        yield fault("secret", message, "set it to a long random value, the same for all workers")
    else:
        yield ok("secret", "the oracle's secret fits the broker")


def few(check: str, faults: list[Finding]) -> Iterator[Finding]:
    """The first faults of one kind; the rest are counted."""
    yield from faults[:MANY]
    if len(faults) > MANY:
        yield fault(check, f"and {len(faults) - MANY} more of this kind", faults[MANY].remedy)


PIPELINE: tuple[Callable[[Pipeline], Iterator[Finding]], ...] = (
    broker,
    topics,
    registry,
    clickhouse,
    secret,
)


def run(settings: Settings) -> list[Finding]:
    """All checks of the pipeline in order."""
    pipeline = Pipeline(settings)
    return [finding for check in PIPELINE for finding in check(pipeline)]
