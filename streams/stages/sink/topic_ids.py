"""Topic ids, and the report of records that the broker deleted before they were read."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerAway
from schemas.log_events import DELETIONS_UNKNOWN, RECORDS_DELETED
from schemas.settings import KafkaSettings
from streams.runtime import metrics
from streams.runtime.kafka_clients import LogOffsets, make_admin

_TIMEOUT = 10.0

log = structlog.get_logger(__name__)


class TopicIds:
    """Kafka's ids of topics, cached until `forget`."""

    def __init__(self, settings: KafkaSettings, admin: AdminClient | None = None) -> None:
        self._settings = settings
        self._admin = admin or make_admin(settings)
        self._ids: dict[str, UUID] = {}

    def __call__(self, topic: str) -> UUID:
        """The id of a logical topic. Raises BrokerAway."""
        if topic not in self._ids:
            physical = self._settings.physical(topic)
            try:
                found = self._admin.describe_topics(TopicCollection([physical]), request_timeout=_TIMEOUT)
                topic_id = found[physical].result().topic_id
            except KafkaException as error:
                raise BrokerAway(f"topic {physical} cannot be described: {error.args[0].str()}") from error
            self._ids[topic] = UUID(
                int=_unsigned(topic_id.get_most_significant_bits()) << 64
                | _unsigned(topic_id.get_least_significant_bits())
            )
        return self._ids[topic]

    def forget(self) -> None:
        """Clears the cache: a topic may have been deleted and created again."""
        self._ids.clear()


def _unsigned(bits: int) -> int:
    return bits & 0xFFFF_FFFF_FFFF_FFFF


def report_losses(consumer: Consumer, log_offsets: LogOffsets, partitions: Sequence[TopicPartition]) -> None:
    """Counts and logs offsets that the broker deleted between the last commit and now."""
    try:
        committed = [
            each for each in consumer.committed(list(partitions), timeout=_TIMEOUT) if each.offset > 0
        ]
        starts = log_offsets.starts(TopicPartition(each.topic, each.partition) for each in committed)
        first = {(each.topic, each.partition): start for each, start in starts.items()}
    except KafkaException as error:
        DELETIONS_UNKNOWN.emit(log, error=error.args[0].str())
        return
    for each in committed:
        first_kept = first[each.topic, each.partition]
        lost = first_kept - each.offset
        if lost > 0:
            metrics.RETENTION_LOSSES.inc(lost)
            RECORDS_DELETED.emit(
                log,
                topic=each.topic,
                partition=each.partition,
                offsets=lost,
                first_kept=first_kept,
            )
