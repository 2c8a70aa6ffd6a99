"""The consumer of workers without Faust: records in, offsets out. Nothing else talks to the group."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from schemas.log_event import LogEvent
from schemas.log_events import (
    BATCH_NOT_SKIPPED,
    BROKER_UNREACHABLE,
    OFFSET_COMMIT_FAILED,
    OFFSETS_UNKNOWN,
    PARTITIONS_ASSIGNED,
    PARTITIONS_LOST,
    PARTITIONS_REVOKED,
    PAUSE_FAILED,
    REVOKED_RECORD,
)
from schemas.settings import KafkaSettings
from schemas.stages import group_of
from streams.core.contract import Coordinates
from streams.core.message import Message, from_milliseconds
from streams.core.unread import within_bounds
from streams.runtime import fetch_watchdog, metrics
from streams.runtime.bounded_commit import BoundedCommit
from streams.runtime.close_consumer import close_consumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import Refused
from streams.runtime.fetch_watchdog import FetchWatchdog
from streams.runtime.kafka_clients import as_bytes, headers_of, make_consumer
from streams.runtime.offsets import Offsets, Position, Source
from streams.runtime.standstill import CANNOT_READ, Standstill, place_of
from streams.runtime.throttled_log import ThrottledLog

log = structlog.get_logger(__name__)

Partitions = list[TopicPartition]


class ConsumerFailed(Refused):
    """The consumer cannot continue; the text is for the user."""


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
        self._standstill = Standstill(kafka, group_of(stage))
        self._kafka = kafka
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
        found: list[Delivery | None] = []
        unreadable: dict[Source, int] = {}
        for message in messages:
            source, offset = place_of(message)
            if (error := message.error()) is None:
                found.append(self._delivery(message, source, offset))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._standstill.came(source, offset)
            elif error.code() in CANNOT_READ and source in self._offsets:
                unreadable[source] = offset
            else:
                self._failed(error)
        if self._held:
            self._standstill.held()
        elif len(messages) < most:
            unreadable |= self._standstill.stands(self._consumer, self._offsets)
        found += [self._unread(source, offset) for source, offset in unreadable.items()]
        return [delivery for delivery in found if delivery is not None]

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

    def _delivery(self, message: KafkaMessage, source: Source, offset: int) -> Delivery | None:
        if source in self._paused:
            self._paused = set()  # a rebalance resumed it: all are paused again
        if source not in self._offsets:
            # fetched before the rebalance that revoked its partition
            REVOKED_RECORD.emit(log, topic=source.topic)
            return None
        self._standstill.came(source, offset + 1)
        of_partition = self._offsets[source]
        if not of_partition.take(offset):
            metrics.REDELIVERED.labels(self._stage).inc()
            return None
        at = Coordinates(self._logical[source.topic], source.partition, offset)
        dead = self._guards.why_dead(at)
        with self._guards.mark.during(at):
            headers = None if dead else headers_of(message)
        # what a megabyte unpacks to may be hundreds, and is not to be held
        key, value = within_bounds(as_bytes(message.key()), as_bytes(message.value()), offset)
        arrived = Message(
            at,
            from_milliseconds(message.timestamp()[1]),
            key,
            value,
            headers or (),
            has_headers=headers is not None,
        )
        return Delivery(arrived, source, of_partition)

    def _unread(self, source: Source, offset: int) -> Delivery | None:
        """What stands for the batch with `offset`, which the client cannot read and goes on behind.

        None where there is nothing to tell of it, or not now.
        """
        # aiokafka is needed for this alone
        from streams.runtime.stored_batch import NoAnswer, batch_at

        expected = self._standstill.next(source)
        try:
            batch = batch_at(self._kafka, source, offset, expected)
            if batch is None:
                return None  # said of a batch that was passed over already
            self._consumer.seek(TopicPartition(*source, batch.last + 1))
        except (NoAnswer, KafkaException) as error:
            self._log.emit(BATCH_NOT_SKIPPED, topic=source.topic, error=str(error))
            return None
        self._standstill.came(source, batch.last + 1)
        first, of_partition = max(expected, batch.first), self._offsets[source]
        if batch.is_passed_over or not of_partition.take(first, batch.last):
            return None
        at = Coordinates(self._logical[source.topic], source.partition, first)
        return Delivery(batch.unread(at, "librdkafka gives none of its records"), source, of_partition)

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
            self._standstill.begin(source, committed.offset if committed else None)
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
            self._standstill.end(source)

    def _counted(self, event: LogEvent, partitions: Partitions) -> None:
        metrics.ASSIGNED_PARTITIONS.labels(self._stage).set(len(self._offsets))
        if partitions:
            event.emit(log, partitions=len(partitions), held=len(self._offsets))


def _sources(partitions: Partitions) -> frozenset[Source]:
    return frozenset(Source(each.topic, each.partition) for each in partitions)
