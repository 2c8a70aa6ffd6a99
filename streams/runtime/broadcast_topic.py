"""A small topic of one partition that every worker reads whole, outside of any group.

Its records reach every worker on every machine within a poll, and outlive restarts of workers and broker.
It needs nothing that workers do not need anyway.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.dead_letter_kinds import DeadLetterKind
from schemas.errors import BrokerAway, one_line
from schemas.log_events import BATCH_NOT_SKIPPED, RECORD_LEFT_OUT
from schemas.settings import KafkaSettings
from streams.runtime import metrics
from streams.runtime.kafka_clients import make_consumer
from streams.runtime.offsets import Source
from streams.runtime.standstill import CANNOT_READ, Standstill, place_of

if TYPE_CHECKING:
    from streams.runtime.stored_batch import StoredBatch

AT_ONCE = 1000
"""Records of one refresh; the rest waits for the next one, so that the worker's own work continues."""


log = structlog.get_logger(__name__)


def left_out(message: Message, topic: str, kind: DeadLetterKind, reason: str) -> None:
    """Counts and logs an unusable record: anybody may write one, and it must stop no worker."""
    metrics.LEFT_OUT.labels(topic, kind).inc()
    RECORD_LEFT_OUT.emit(log, topic=topic, offset=message.offset(), kind=kind, error=one_line(reason))


def left_out_batch(topic: str, batch: "StoredBatch") -> None:
    """Counts and logs a batch that the client cannot read, as `left_out` does a record."""
    if not batch.is_passed_over:
        metrics.LEFT_OUT.labels(topic, "unreadable_batch").inc()
        reason = f"librdkafka returns no record of the batch that ends at offset {batch.last}"
        RECORD_LEFT_OUT.emit(log, topic=topic, offset=batch.first, kind="unreadable_batch", error=reason)


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
        self._kafka = kafka
        self._name = topic
        self._take = take
        self._since = since
        self._standstill = Standstill(kafka, f"opoi-{reader}")
        self._consumer: Consumer = make_consumer(
            kafka, f"opoi-{reader}", **{"group.protocol": "classic", "enable.partition.eof": False}
        )
        self._source = Source(kafka.physical(topic), 0)
        self._partition = TopicPartition(*self._source, 0)
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
            self._hand_over(message)
            # an unreachable broker gives an error at every poll
            if message is None or message.error() is not None:
                return

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
        self._standstill.begin(self._source, low)
        self._consumer.assign([TopicPartition(topic, partition, low)])
        self._begun = True

    def _position(self) -> int:
        (found,) = self._consumer.position([self._partition])
        return max(found.offset, self._start, self._standstill.next(self._source))

    def _hand_over(self, message: Message | None) -> None:
        if message is None:
            for _, offset in self._standstill.stands(self._consumer, (self._source,)):
                self._pass_over(offset)
            return
        _, offset = place_of(message)
        if (error := message.error()) is None:
            self._standstill.came(self._source, offset + 1)
            self._take(message)
        elif error.code() in CANNOT_READ:
            self._pass_over(offset)

    def _pass_over(self, offset: int) -> None:
        """Goes on behind the batch with `offset`, which the client cannot read."""
        # aiokafka is needed for this alone
        from streams.runtime.stored_batch import NoAnswer, batch_at

        try:
            batch = batch_at(self._kafka, self._source, offset, self._standstill.next(self._source))
            if batch is not None:
                self._consumer.seek(TopicPartition(*self._source, batch.last + 1))
        except (NoAnswer, KafkaException) as error:
            BATCH_NOT_SKIPPED.emit(log, topic=self._name, error=str(error))
            return
        if batch is not None:
            self._standstill.came(self._source, batch.last + 1)
            left_out_batch(self._name, batch)
