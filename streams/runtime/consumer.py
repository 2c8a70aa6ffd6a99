"""The consumer of workers without Faust: records in, offsets out. Nothing else talks to the group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from schemas.log_events import (
    BROKER_UNREACHABLE,
    OFFSET_COMMIT_FAILED,
    OFFSETS_UNKNOWN,
    PARTITIONS_ASSIGNED,
    PARTITIONS_LOST,
    PARTITIONS_REVOKED,
    PAUSE_FAILED,
    REVOKED_RECORD,
    LogEvent,
)
from schemas.settings import KafkaSettings
from schemas.stages import group_of
from streams.core.contract import Coordinates
from streams.core.message import Message, from_milliseconds
from streams.runtime import fetch_watchdog, metrics
from streams.runtime.bounded_commit import BoundedCommit
from streams.runtime.close_consumer import close_consumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.exit_codes import Refused
from streams.runtime.fetch_watchdog import FetchWatchdog
from streams.runtime.kafka_clients import as_bytes, header_pairs, make_consumer
from streams.runtime.offsets import Offsets, PartitionOffsets, Position, Source
from streams.runtime.throttled_log import ThrottledLog

log = structlog.get_logger(__name__)

Partitions = list[TopicPartition]


class ConsumerFailed(Refused):
    """The consumer cannot continue; the text is for the user."""


@dataclass(eq=False, slots=True)
class Delivery:
    """One record in hand. No offset past it is committed before `done`."""

    arrived: Message
    source: Source
    _partition: PartitionOffsets

    @property
    def live(self) -> bool:
        """Whether the record's partition is still assigned to this worker."""
        return self._partition.live

    @property
    def is_committed(self) -> bool:
        """Whether the broker knows that the record is done."""
        return self._partition.is_committed(self.arrived.coordinates.offset)

    def done(self) -> None:
        """Everything that the record led to is acknowledged."""
        self._partition.done(self.arrived.coordinates.offset)


class WorkerConsumer:
    """Records of `topics` (logical names) for the group of `stage`. Not thread-safe.

    `on_assigned` is called with new partitions after the poll that assigned them, before their records are
    returned. `on_revoked` is called, from within `receive` and `close`, with those about to be revoked; what
    is done when it returns is committed. `on_lost`: with those that another worker has already.
    `config` overrides properties of librdkafka.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        stage: str,
        topics: Sequence[str],
        guards: CrashGuard,
        *,
        on_revoked: Callable[[frozenset[Source]], None],
        on_lost: Callable[[frozenset[Source]], None] = lambda gone: None,
        on_assigned: Callable[[Consumer, Partitions], None] = lambda consumer, partitions: None,
        **config: Any,
    ) -> None:
        self._stage = stage
        self._logical = {kafka.physical(topic): topic for topic in topics}
        self._guards = guards
        self._on_revoked = on_revoked
        self._on_lost = on_lost
        self._on_assigned = on_assigned
        self._offsets = Offsets()
        self._held = False
        self._paused: set[Source] = set()
        # librdkafka keeps the pause of a lost partition, and assigns it paused
        self._gained: set[Source] = set()
        self._newly: Partitions = []
        self._log = ThrottledLog(log)
        self._consumer = make_consumer(kafka, group_of(stage), **{**fetch_watchdog.CONFIG, **config})
        self._fetch_watchdog = FetchWatchdog(kafka)
        self._commits = BoundedCommit(self._consumer)
        self._committing: dict[Source, Position] = {}

    def start(self) -> None:
        """Joins the group."""
        self._consumer.subscribe(
            list(self._logical), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        self._fetch_watchdog.start(self._consumer)

    def receive(self, most: int, seconds: float) -> list[Delivery]:
        """At most `most` records, after at most `seconds`; this poll also keeps the membership alive.

        Raises ConsumerFailed.
        """
        self._apply_hold()
        messages = self._consumer.consume(most, seconds)
        self._fetch_watchdog.polled(messages, held=self._held)
        if self._newly:
            newly, self._newly = self._newly, []
            self._guards.deaths.load()
            self._on_assigned(self._consumer, newly)
        found = []
        for message in messages:
            if (error := message.error()) is None:
                if (delivery := self._delivery(message)) is not None:
                    found.append(delivery)
            elif error.code() != KafkaError._PARTITION_EOF:
                self._failed(error)
        return found

    def hold(self, held: bool) -> None:
        """Whether to pause all partitions, from the next `receive` on."""
        self._held = held

    def commit(self) -> bool:
        """Commits what is done and waits for the answer; False if the broker did not take it."""
        if not self._commits.under_way:
            self._committing = self._offsets.due()
        if not self._committing:
            return True
        wanted = [TopicPartition(*source, at.offset, at.metadata) for source, at in self._committing.items()]
        try:
            answers = self._commits.commit(wanted)
        except KafkaException as error:
            self._log.emit(OFFSET_COMMIT_FAILED, error=str(error))
            return False
        if answers is None:
            self._log.emit(OFFSET_COMMIT_FAILED, error="no answer yet")
            return False
        taken = {Source(each.topic, each.partition) for each in answers if each.error is None}
        self._offsets.committed({source: at for source, at in self._committing.items() if source in taken})
        return len(taken) == len(self._committing)

    def close(self) -> None:
        """Leaves the group; calls `on_revoked` with the partitions held."""
        self._fetch_watchdog.stop()
        close_consumer(self._consumer)

    def _apply_hold(self) -> None:
        if not (self._held or self._paused or self._gained):
            return
        assigned = {Source(each.topic, each.partition) for each in self._consumer.assignment()}
        wanted = assigned if self._held else set()
        try:
            if pause := wanted - self._paused:
                self._consumer.pause([TopicPartition(*each) for each in pause])
            if resume := (self._paused | self._gained) & assigned - wanted:
                self._consumer.resume([TopicPartition(*each) for each in resume])
        except KafkaException as error:
            # a rebalance is under way; repeated before the next poll
            PAUSE_FAILED.emit(log, error=str(error))
            self._paused = set()
            return
        self._paused = wanted
        self._gained -= assigned

    def _delivery(self, message: KafkaMessage) -> Delivery | None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        source = Source(topic, partition)
        if source in self._paused:
            self._paused = set()  # a rebalance resumed it: all are paused again
        if source not in self._offsets:
            # fetched before the rebalance that revoked its partition
            REVOKED_RECORD.emit(log, topic=topic)
            return None
        of_partition = self._offsets[source]
        if not of_partition.take(offset):
            metrics.REDELIVERED.labels(self._stage).inc()
            return None
        at = Coordinates(self._logical[topic], partition, offset)
        # a header name that is no UTF-8 ends the process in confluent-kafka, by a signal
        dead = self._guards.why_dead(at)
        with self._guards.mark.during(at):
            headers = () if dead else header_pairs(message.headers())
        arrived = Message(
            at,
            from_milliseconds(message.timestamp()[1]),
            as_bytes(message.key()),
            as_bytes(message.value()),
            headers,
            has_headers=not dead,
        )
        return Delivery(arrived, source, of_partition)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            raise ConsumerFailed(
                f"the consumer of {self._stage} cannot go on: {error.str()}; where the broker is older "
                "than 4.0 set OPOI_KAFKA__GROUP_PROTOCOL=classic"
            )
        self._log.emit(BROKER_UNREACHABLE, error=error.str())

    def _assigned(self, consumer: Consumer, partitions: Partitions) -> None:
        self._paused = set()
        self._newly += partitions
        for source, committed in self._committed(consumer, partitions).items():
            self._offsets.begin(source, committed)
            self._gained.add(source)
        self._counted(PARTITIONS_ASSIGNED, partitions)

    def _committed(self, consumer: Consumer, partitions: Partitions) -> dict[Source, Position | None]:
        found: dict[Source, Position | None] = dict.fromkeys(_sources(partitions))
        if not partitions:
            return found
        try:
            answers = consumer.committed(partitions, timeout=10)
        except KafkaException as error:
            OFFSETS_UNKNOWN.emit(log, error=str(error))
            return found
        for each in answers:
            if each.error is None and each.offset >= 0:
                found[Source(each.topic, each.partition)] = Position.parse(each.offset, each.metadata)
        return found

    def _revoked(self, consumer: Consumer, partitions: Partitions) -> None:
        going = _sources(partitions)
        with self._commits.in_callback():
            self._on_revoked(going)
            self.commit()
        self._drop(going)
        self._counted(PARTITIONS_REVOKED, partitions)

    def _lost(self, consumer: Consumer, partitions: Partitions) -> None:
        gone = _sources(partitions)
        self._on_lost(gone)
        self._drop(gone)
        self._counted(PARTITIONS_LOST, partitions)

    def _drop(self, going: frozenset[Source]) -> None:
        self._paused = set()
        self._gained -= going
        self._newly = [each for each in self._newly if Source(each.topic, each.partition) not in going]
        for source in going:
            self._offsets.end(source)

    def _counted(self, event: LogEvent, partitions: Partitions) -> None:
        metrics.ASSIGNED_PARTITIONS.labels(self._stage).set(len(self._offsets))
        if partitions:
            event.emit(log, partitions=len(partitions), held=len(self._offsets))


def _sources(partitions: Partitions) -> frozenset[Source]:
    return frozenset(Source(each.topic, each.partition) for each in partitions)
