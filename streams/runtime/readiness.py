"""Before the first record: waits for the broker and checks that it has the topics."""

import time
from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaException

from schemas.log_events import BROKER_UNREACHABLE
from schemas.settings import KafkaSettings
from streams.runtime.exit_codes import Refused
from streams.runtime.kafka_clients import make_admin
from streams.runtime.throttled_log import ThrottledLog

RETRY_SECONDS = 2.0

log = structlog.get_logger(__name__)


class TopicsMissing(Refused):
    """The broker lacks topics; the text says what to run."""


def wait_for_topics(kafka: KafkaSettings, names: Iterable[str]) -> dict[str, int]:
    """Partition counts of the topics by logical name, once the broker answers. Raises TopicsMissing."""
    admin = make_admin(kafka)
    waiting = ThrottledLog(log)
    while True:
        try:
            found = admin.list_topics(timeout=10).topics
            break
        except KafkaException as error:
            waiting.emit(BROKER_UNREACHABLE, error=str(error.args[0]))
            time.sleep(RETRY_SECONDS)
    counts = {
        name: len(found[physical].partitions)
        for name in names
        if (physical := kafka.physical(name)) in found and found[physical].error is None
    }
    if missing := [kafka.physical(name) for name in names if name not in counts]:
        raise TopicsMissing(
            f"the broker {kafka.bootstrap_servers} has no topic {', '.join(missing)}: run `opoi topics apply`"
        )
    return counts
