"""A small topic of one partition that every worker reads whole, outside of any group.

Its records reach every worker on every machine within a poll, and outlive restarts of workers and broker.
It needs nothing that workers do not need anyway.
"""

import time
from collections.abc import Callable
from datetime import datetime

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.dead_letter_kinds import DeadLetterKind
from schemas.errors import BrokerAway, one_line
from schemas.log_events import RECORD_LEFT_OUT
from schemas.settings import KafkaSettings
from streams.runtime import metrics
from streams.runtime.kafka_clients import make_consumer

AT_ONCE = 1000
"""Records of one refresh; the rest waits for the next one, so that the worker's own work continues."""


log = structlog.get_logger(__name__)


def left_out(message: Message, topic: str, kind: DeadLetterKind, reason: str) -> None:
    """Counts and logs an unusable record: anybody may write one, and it must stop no worker."""
    metrics.LEFT_OUT.labels(topic, kind).inc()
    RECORD_LEFT_OUT.emit(log, topic=topic, offset=message.offset(), kind=kind, error=one_line(reason))


class BroadcastTopic:
    """Hands each record of `topic` (logical name) to `take`, in order. Not thread-safe.

    `since`: records before this broker time are left out.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        reader: str,
        take: Callable[[Message], None],
        since: datetime | None = None,
    ) -> None:
        self._take = take
        self._since = since
        self._consumer: Consumer = make_consumer(
            kafka, f"opoi-{reader}", **{"group.protocol": "classic", "enable.partition.eof": False}
        )
        self._partition = TopicPartition(kafka.physical(topic), 0, 0)
        self._begun = False
        self._start = 0

    def catch_up(self, timeout: float = 10.0) -> None:
        """Reads to the present end of the topic. Raises BrokerAway; may be called again."""
        give_up = time.monotonic() + timeout
        try:
            self._begin(timeout)
            _, end = self._consumer.get_watermark_offsets(self._partition, timeout=timeout)
            while self._position() < end:
                if time.monotonic() > give_up:
                    raise BrokerAway(f"{self._partition.topic} was not read to its end in {timeout:g} s")
                self._hand_over(self._consumer.poll(0.1))
        except KafkaException as error:
            raise BrokerAway(f"{self._partition.topic} cannot be read: {error}") from error

    def refresh(self) -> None:
        """Reads new records, without waiting."""
        for _ in range(AT_ONCE):
            message = self._consumer.poll(0)
            # an unreachable broker gives an error at every poll
            if message is None or message.error() is not None:
                return
            self._take(message)

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def _begin(self, timeout: float) -> None:
        if self._begun:
            return
        topic, partition = self._partition.topic, self._partition.partition
        low, high = self._consumer.get_watermark_offsets(self._partition, timeout=timeout)
        if self._since is not None:
            milliseconds = round(self._since.timestamp() * 1000)
            wanted = TopicPartition(topic, partition, milliseconds)
            (found,) = self._consumer.offsets_for_times([wanted], timeout=timeout)
            low = found.offset if found.offset >= 0 else high
        self._start = low
        self._consumer.assign([TopicPartition(topic, partition, low)])
        self._begun = True

    def _position(self) -> int:
        (found,) = self._consumer.position([self._partition])
        return max(found.offset, self._start)

    def _hand_over(self, message: Message | None) -> None:
        if message is not None and message.error() is None:
            self._take(message)
