"""Creates the topics of the catalog at the broker, and finds where topics differ from it."""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.catalog import TopicSpec, topics
from schemas.deployment import Fault, Report, WireSettings
from schemas.errors import BrokerAway, DeployRefused
from schemas.settings import KafkaSettings

COMMON_PARTITIONS = 32
"""Partitions of a topic that fixes none, where `OPOI_KAFKA__PARTITIONS` is not set."""
_SECONDS = 5

Outcome = Literal["created", "altered", "unchanged", "missing", "differs", "refused"]


@dataclass(frozen=True, slots=True)
class TopicResult:
    """The result of creating or checking one topic."""

    topic: str
    physical: str
    outcome: Outcome
    partitions: int
    """The count that the catalog wants."""
    problems: tuple[str, ...] = ()
    """One line each: what, actual, wanted."""
    remedy: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it makes a check fail."""
        return self.outcome in ("missing", "differs", "refused")

    @property
    def faults(self) -> list[Fault]:
        """Its problems, each with what to do."""
        return [Fault(f"topic {self.physical}", problem, self.remedy) for problem in self.problems]


@dataclass(frozen=True, slots=True)
class _Actual:
    partitions: int
    config: dict[str, str]


def partitions_of(spec: TopicSpec, settings: KafkaSettings) -> int:
    """Partitions that the topic must have."""
    return spec.partitions or settings.partitions or COMMON_PARTITIONS


def check_topics(settings: WireSettings) -> list[TopicResult]:
    """Compares every topic of the catalog with the broker's. Raises BrokerAway."""
    actual = _Broker(settings.kafka).actual()
    return [_compare(spec, settings.kafka, actual) for spec in topics().values()]


def apply_topics(settings: WireSettings, report: Report) -> list[TopicResult]:
    """Creates missing topics and sets configurations as the catalog wants them; idempotent.

    Raises DeployRefused before any change where a partition count is wrong, which no command can change (one
    line for each topic: actual, wanted, what to do), and BrokerAway.
    """
    broker = _Broker(settings.kafka)
    found = {result.topic: result for result in check_topics(settings)}
    refused = [result for result in found.values() if result.outcome == "refused"]
    if refused:
        raise DeployRefused(_alike(refused))
    specs = topics()
    missing = [specs[name] for name, result in found.items() if result.outcome == "missing"]
    differing = [specs[name] for name, result in found.items() if result.outcome == "differs"]
    broker.create(missing)
    broker.alter(differing)
    _until_visible(settings)
    for spec in missing:
        report(f"topic {found[spec.name].physical}: created, {found[spec.name].partitions} partitions")
    for spec in differing:
        report(f"topic {found[spec.name].physical}: altered, was: {', '.join(found[spec.name].problems)}")
    done: dict[Outcome, Outcome] = {"missing": "created", "differs": "altered"}
    return [
        TopicResult(r.topic, r.physical, done.get(r.outcome, r.outcome), r.partitions) for r in found.values()
    ]


def _until_visible(settings: WireSettings) -> None:
    """Waits until the broker reports the changes that were just made. Raises BrokerAway."""
    give_up = time.monotonic() + 4 * _SECONDS
    while left := [fault for result in check_topics(settings) for fault in result.faults]:
        if time.monotonic() > give_up:
            servers = settings.kafka.bootstrap_servers
            raise BrokerAway(f"broker {servers} accepted the changes but does not report them: {left[0]}")
        time.sleep(0.05)


def topic_faults(settings: WireSettings) -> list[Fault]:
    """What is wrong with the topics, for `opoi doctor`; a broker that does not answer is a fault, too."""
    try:
        return [fault for result in check_topics(settings) for fault in result.faults]
    except BrokerAway as error:
        return [Fault("broker", str(error), "start it, or set OPOI_KAFKA__BOOTSTRAP_SERVERS")]


def _compare(spec: TopicSpec, settings: KafkaSettings, actual: dict[str, _Actual]) -> TopicResult:
    physical, wanted = settings.physical(spec.name), partitions_of(spec, settings)
    if physical not in actual:
        return TopicResult(
            spec.name, physical, "missing", wanted, ("does not exist",), "run `opoi topics apply`"
        )
    found = actual[physical]
    if found.partitions != wanted:
        keep = "" if spec.partitions else f"set OPOI_KAFKA__PARTITIONS={found.partitions} to keep it; "
        return TopicResult(
            spec.name,
            physical,
            "refused",
            wanted,
            (f"has {found.partitions} partitions, wanted {wanted}",),
            f"{keep}where nothing is in it yet, delete it with the broker's tools and run "
            "`opoi topics apply`; no command changes the count of one in use, since keys would move to other "
            "partitions",
        )
    problems = [
        f"{name} is {found.config.get(name, 'unknown')}, wanted {value}"
        for name, value in spec.topic_config().items()
        if found.config.get(name) != value
    ]
    return TopicResult(
        spec.name,
        physical,
        "differs" if problems else "unchanged",
        wanted,
        tuple(problems),
        "run `opoi topics apply`" if problems else "",
    )


def _alike(refused: list[TopicResult]) -> str:
    """One line for each different problem, with the topics that have it."""
    groups: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for result in refused:
        groups[result.problems, result.remedy].append(result.physical)
    lines = []
    for (problems, remedy), names in groups.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"topic {', '.join(names[:3])}{more}: {', '.join(problems)}; {remedy}")
    return "\n".join(lines)


class _Broker:
    """The admin client, with errors of this package."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        # connection errors are reported once, by the exception
        config: dict[str, Any] = {**settings.client_config(), "log_level": 0}
        self._admin = AdminClient(config)

    def actual(self) -> dict[str, _Actual]:
        """The catalog's topics as the broker has them, by physical name."""
        try:
            listed = self._admin.list_topics(timeout=_SECONDS).topics
        except KafkaException as error:
            raise self._away(error) from error
        ours = {self._settings.physical(name) for name in topics()} & listed.keys()
        described = self._each(
            self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in ours])
            if ours
            else {}
        )
        return {
            resource.name: _Actual(
                len(listed[resource.name].partitions),
                {entry.name: str(entry.value) for entry in config.values()},
            )
            for resource, config in described.items()
        }

    def create(self, specs: list[TopicSpec]) -> None:
        """Creates topics; the replication factor is the broker's default."""
        new = [
            NewTopic(
                self._settings.physical(spec.name),
                num_partitions=partitions_of(spec, self._settings),
                replication_factor=-1,
                config=spec.topic_config(),
            )
            for spec in specs
        ]
        if new:
            self._each(self._admin.create_topics(new, operation_timeout=_SECONDS))

    def alter(self, specs: list[TopicSpec]) -> None:
        """Sets the configurations of the catalog."""
        resources = [
            ConfigResource(
                ResourceType.TOPIC,
                self._settings.physical(spec.name),
                incremental_configs=[
                    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                    for name, value in spec.topic_config().items()
                ],
            )
            for spec in specs
        ]
        if resources:
            self._each(self._admin.incremental_alter_configs(resources))

    def _each(self, futures: dict[Any, Any]) -> dict[Any, Any]:
        """Waits for the answers. Raises DeployRefused with the broker's text, or BrokerAway."""
        answers, refused = {}, []
        for subject, future in futures.items():
            try:
                answers[subject] = future.result(timeout=2 * _SECONDS)
            except KafkaException as error:
                fault = error.args[0]
                if fault.code() < 0 or fault.retriable():  # librdkafka's own codes: nothing was answered
                    raise self._away(error) from error
                name = getattr(subject, "name", subject)
                refused.append(f"topic {name}: the broker refused: {fault.str()}")
            except TimeoutError as error:
                raise self._away(error) from error
        if refused:
            raise DeployRefused("\n".join(refused))
        return answers

    def _away(self, error: Exception) -> BrokerAway:
        said = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
        return BrokerAway(f"broker {self._settings.bootstrap_servers} does not answer: {said}")
