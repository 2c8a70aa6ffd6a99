"""Before the first record: checks that the topics fit together.

A table's changelog and its stage's sources must have the same partition count: if they differ, Faust reports
ready and loses every event.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas.log_events import BROKER_UNREACHABLE
from streams.runtime.exit_codes import Refused
from streams.runtime.throttled_log import ThrottledLog

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0


class NotReady(Refused):
    """The topics at the broker do not fit; the text is for the user."""


class BrokerAway(Exception):
    """The broker did not answer; ask again."""


@dataclass(frozen=True)
class Topics:
    """What a stage needs, by physical name: `together` with one partition count, `others` with any."""

    together: tuple[str, ...]
    changelog: str | None
    others: tuple[str, ...]


def check(topics: Topics, counts: Mapping[str, int], cleanup_policy: Callable[[str], str]) -> dict[str, int]:
    """The partitions of each topic. Raises `NotReady`."""
    together = [*topics.together, *([topics.changelog] if topics.changelog else [])]
    if missing := sorted({*together, *topics.others} - counts.keys()):
        raise NotReady(f"the broker has no topic {', '.join(missing)}: create them with `opoi topics apply`")
    different = [name for name in together if counts[name] != counts[together[0]]]
    if different:
        found = ", ".join(f"{name} has {counts[name]}" for name in (together[0], *different))
        raise NotReady(
            f"partition counts must be equal: {found}; "
            "see `opoi topics check`, and where nothing is in the wrong one yet, delete it with the broker's "
            "tools and run `opoi topics apply`; one in use cannot change, since keys would move to other "
            "partitions"
        )
    if topics.changelog and "compact" not in (policy := cleanup_policy(topics.changelog)).split(","):
        raise NotReady(
            f"changelog {topics.changelog} has cleanup.policy={policy}, needed is compact: with anything "
            "else the broker deletes the state of this stage; set it with `opoi topics apply`"
        )
    return {name: counts[name] for name in (*together, *topics.others)}


class Broker:
    """The broker's topics, from its admin interface."""

    def __init__(self, config: Mapping[str, str], timeout: float = 10.0) -> None:
        self._admin = AdminClient({**config, "log_level": 2})
        self._timeout = timeout

    def partition_counts(self) -> dict[str, int]:
        """Partitions by topic. Raises `BrokerAway`."""
        try:
            found = self._admin.list_topics(timeout=self._timeout).topics
        except KafkaException as error:
            raise BrokerAway(str(error)) from error
        return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

    def cleanup_policy(self, topic: str) -> str:
        """The topic's cleanup.policy. Raises `BrokerAway`, `NotReady`."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            config = self._admin.describe_configs([resource])[resource].result(timeout=self._timeout)
        except KafkaException as error:
            fault = error.args[0]
            if isinstance(fault, KafkaError) and fault.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise NotReady(
                    f"this worker may not read the configuration of {topic}: allow it DescribeConfigs"
                ) from error
            raise BrokerAway(str(error)) from error
        return str(config["cleanup.policy"].value)


def wait_until_ready(topics: Topics, broker: Broker) -> dict[str, int]:
    """`check` once the broker answers; logs while it waits. Raises `NotReady`."""
    waiting = ThrottledLog(log)
    while True:
        try:
            return check(topics, broker.partition_counts(), broker.cleanup_policy)
        except BrokerAway as error:
            waiting.emit(BROKER_UNREACHABLE, error=str(error))
            time.sleep(RETRY_SECONDS)
