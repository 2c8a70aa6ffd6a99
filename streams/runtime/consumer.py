"""The worker's consumer: records in, offsets out. Nothing else of the worker speaks to the group."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.settings import KafkaSettings
from streams.core.contract import Coordinates
from streams.core.message import Arrival, from_milliseconds
from streams.runtime import fetch_watchdog, metrics
from streams.runtime.bounded_commit import Commits
from streams.runtime.close_consumer import leave
from streams.runtime.exit_codes import Refused
from streams.runtime.fetch_watchdog import Starvation
from streams.runtime.kafka_clients import header_pairs, make_consumer
from streams.runtime.offsets import Offsets, PartitionOffsets, Position, Source

# a worker that does not poll for so long is dead; it polls all the time, also while it is full
_MAX_POLL_MS = 60_000
# each start of a run takes one record, so a deep queue would only be fetched to be thrown away
_CONFIG = {
    **fetch_watchdog.CONFIG,
    "max.poll.interval.ms": _MAX_POLL_MS,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 8 * 1024,
    "fetch.message.max.bytes": 256 * 1024,
}
SAY_EVERY = 30.0

log = structlog.get_logger(__name__)


class IntakeFailed(Refused):
    """The consumer cannot go on; the text is for the user."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One record in hand. Nothing is committed past it before `done`."""

    arrived: Arrival
    source: Source
    _partition: PartitionOffsets

    @property
    def live(self) -> bool:
        """Whether the record is still this worker's."""
        return self._partition.live

    @property
    def is_committed(self) -> bool:
        """Whether the broker knows that the record is done."""
        return self._partition.is_committed(self.arrived.coordinates.offset)

    def done(self) -> None:
        """Everything that the record leads to is acknowledged."""
        self._partition.done(self.arrived.coordinates.offset)


class Intake:
    """Records of `topics` (logical names) for the group of `stage`, one by one.

    `gained` is called when partitions came; `release` with those that are about to go elsewhere: what is done
    when it returns is committed. Both are called from within `next` and `close`.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        stage: str,
        topics: Sequence[str],
        gained: Callable[[], None],
        release: Callable[[frozenset[Source]], None],
        **overrides: Any,
    ) -> None:
        self._stage = stage
        self._logical = {kafka.physical(topic): topic for topic in topics}
        self._gained = gained
        self._release = release
        self._offsets = Offsets()
        self._paused: set[Source] = set()
        # librdkafka keeps the pause of a partition that was lost, and gives it back paused
        self._gained_now: set[Source] = set()
        self._said = float("-inf")
        self._consumer: Consumer = make_consumer(kafka, f"opoi-{stage}", **{**_CONFIG, **overrides})
        self._starvation = Starvation(kafka)
        self._commits = Commits(self._consumer)
        self._asked: dict[Source, Position] = {}
        self._consumer.subscribe(
            list(self._logical), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        self._starvation.start(self._consumer)

    def next(self, seconds: float) -> Ticket | None:
        """The next record, after at most `seconds`; also what keeps the membership alive.

        Raises IntakeFailed.
        """
        message = self._consumer.poll(seconds)
        self._starvation.asked(() if message is None else (message,), held=bool(self._paused))
        if message is None:
            return None
        if (error := message.error()) is None:
            return self._ticket(message)
        if error.code() != KafkaError._PARTITION_EOF:
            self._failed(error)
        return None

    def hold(self, held: bool) -> None:
        """Whether to hold back further records; to be said again after every `next`."""
        assigned = self._assignment()
        wanted = assigned if held else set()
        try:
            if pause := wanted - self._paused:
                self._consumer.pause([TopicPartition(*each) for each in pause])
            if resume := (self._paused | self._gained_now) & assigned - wanted:
                self._consumer.resume([TopicPartition(*each) for each in resume])
        except KafkaException as error:
            # a rebalance that was not told yet; said again after the next poll
            log.debug("partitions cannot be paused or resumed now", error=str(error))
            self._paused = set()
            return
        self._paused = wanted
        self._gained_now -= assigned

    def commit(self) -> bool:
        """Commits what is done, and waits for the answer; False where the broker did not take it."""
        if not self._commits.under_way:
            self._asked = self._offsets.due()
        if not self._asked:
            return True
        wanted = [TopicPartition(*source, at.offset, at.metadata) for source, at in self._asked.items()]
        try:
            answers = self._commits.commit(wanted)
        except KafkaException as error:
            self._say("offsets cannot be committed now, they are tried again", error=str(error))
            return False
        if answers is None:
            self._say("a commit of offsets has no answer yet")
            return False
        taken = {Source(each.topic, each.partition) for each in answers if each.error is None}
        self._offsets.committed({source: at for source, at in self._asked.items() if source in taken})
        return len(taken) == len(self._asked)

    def close(self) -> None:
        """Leaves the group; `release` is called for what was held."""
        self._starvation.stop()
        leave(self._consumer)

    def _assignment(self) -> set[Source]:
        return {Source(each.topic, each.partition) for each in self._consumer.assignment()}

    def _ticket(self, message: Message) -> Ticket | None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        source = Source(topic, partition)
        if source in self._paused:
            self._paused = set()  # something un-paused it: all are paused anew
        if source not in self._offsets:
            log.error("a record of a partition that is not held comes again elsewhere", topic=topic)
            return None
        of_partition = self._offsets[source]
        if not of_partition.take(offset):
            metrics.REDELIVERED.labels(self._stage).inc()
            return None
        arrived = Arrival(
            Coordinates(self._logical[topic], partition, offset),
            from_milliseconds(message.timestamp()[1]),
            message.key(),
            message.value(),
            header_pairs(message.headers()),
        )
        return Ticket(arrived, source, of_partition)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            raise IntakeFailed(
                f"the consumer of {self._stage} cannot go on: {error.str()}; where the broker is older "
                "than 4.0 set OPOI_KAFKA__GROUP_PROTOCOL=classic"
            )
        self._say("the broker does not give records now", error=error.str())

    def _say(self, what: str, **details: str) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            log.warning(what, stage=self._stage, **details)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._paused = set()
        for source, committed in self._committed(consumer, partitions).items():
            self._offsets.begin(source, committed)
            self._gained_now.add(source)
        self._gained()
        self._counted("partitions assigned", partitions)

    def _committed(
        self, consumer: Consumer, partitions: list[TopicPartition]
    ) -> dict[Source, Position | None]:
        found: dict[Source, Position | None] = {
            Source(each.topic, each.partition): None for each in partitions
        }
        if not partitions:
            return found
        try:
            answers = consumer.committed(partitions, timeout=10)
        except KafkaException as error:
            log.warning(
                "what is done beyond the committed offsets is not known, it is done again", error=str(error)
            )
            return found
        for each in answers:
            if each.error is None and each.offset >= 0:
                found[Source(each.topic, each.partition)] = Position.parse(each.offset, each.metadata)
        return found

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        going = frozenset(Source(each.topic, each.partition) for each in partitions)
        with self._commits.in_callback():
            self._release(going)
            self.commit()
        self._drop(going)
        self._counted("partitions given back", partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(frozenset(Source(each.topic, each.partition) for each in partitions))
        self._counted("partitions lost, what was in work is done again elsewhere", partitions)

    def _drop(self, going: frozenset[Source]) -> None:
        self._paused = set()
        self._gained_now -= going
        for source in going:
            self._offsets.end(source)

    def _counted(self, what: str, partitions: list[TopicPartition]) -> None:
        metrics.ASSIGNED_PARTITIONS.labels(self._stage).set(len(self._offsets))
        if partitions:
            log.info(what, stage=self._stage, partitions=len(partitions), held=len(self._offsets))
