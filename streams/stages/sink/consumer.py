"""The consumer's side of the sink: messages in, offsets out, partitions that come and go."""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sinks import metrics
from streams.runtime.bounded_commit import Commits
from streams.runtime.close_consumer import leave
from streams.runtime.exit_codes import Refused
from streams.runtime.fetch_watchdog import Starvation
from streams.runtime.kafka_clients import as_bytes, header_pairs
from streams.runtime.offsets import Source
from streams.stages.sink.batch import Arrived

_TAKE = 500
_SAY_EVERY = 30.0

log = structlog.get_logger(__name__)


class FeedBroken(Refused):
    """The consumer cannot go on; the text is for the user."""


class Feed:
    """Messages of `logical` (physical topic name to logical one). Not thread-safe.

    `on_revoked` is called with the partitions that are about to go elsewhere, from within `receive` and
    `close`; what is committed until it returns counts. `on_lost`: with those that are already gone.
    `on_assigned`: with new ones, after the poll that brought them. `starvation` is told of each poll.
    """

    def __init__(
        self,
        consumer: Consumer,
        logical: Mapping[str, str],
        *,
        on_assigned: Callable[[Sequence[TopicPartition]], None] = lambda partitions: None,
        starvation: Starvation | None = None,
    ) -> None:
        self._consumer = consumer
        self._logical = logical
        self._on_assigned = on_assigned
        self._starvation = starvation
        self._commits = Commits(consumer)
        self._newly: list[TopicPartition] = []
        self._uncommitted: dict[Source, int] = {}
        self._went: set[Source] = set()
        """Partitions that went elsewhere during this poll."""
        self._held = False
        self._said: dict[str, float] = {}

    def start(
        self, on_revoked: Callable[[frozenset[Source]], None], on_lost: Callable[[frozenset[Source]], None]
    ) -> None:
        """Joins the group."""

        def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
            self._newly += partitions
            # one that is back is read from its commit again; landing twice is harmless
            self._went -= _sources(partitions)
            _tell("partitions assigned", partitions)

        def revoked(_: Consumer, partitions: list[TopicPartition]) -> None:
            with self._commits.in_callback():
                on_revoked(_sources(partitions))
            self._drop(partitions)
            _tell("partitions given back", partitions)

        def lost(_: Consumer, partitions: list[TopicPartition]) -> None:
            on_lost(_sources(partitions))
            self._drop(partitions)
            _tell("partitions lost, what was in hand is landed elsewhere", partitions)

        self._consumer.subscribe(list(self._logical), on_assign=assigned, on_revoke=revoked, on_lost=lost)
        if self._starvation is not None:
            self._starvation.start(self._consumer)

    def receive(self, seconds: float) -> list[Arrived]:
        """What came within `seconds`; also what keeps the membership alive. Raises FeedBroken."""
        if self._held:
            self._pause()  # a rebalance lets partitions go on
        found = []
        self._went.clear()
        messages = self._consumer.consume(_TAKE, seconds)
        if self._starvation is not None:
            self._starvation.asked(messages, held=self._held)
        for message in messages:
            if (error := message.error()) is None:
                # the client may have collected it before the rebalance that took its partition away
                if (arrived := self._arrived(message)).source not in self._went:
                    found.append(arrived)
            elif error.code() != KafkaError._PARTITION_EOF:
                self._failed(error)
        if self._newly:
            newly, self._newly = self._newly, []
            if not self._held:
                # librdkafka keeps the pause of a partition that was lost, and gives it back paused
                self._resume(newly)
            self._on_assigned(newly)
        return found

    def hold(self, held: bool) -> None:
        """Whether to hold back further messages."""
        if self._held and not held:
            self._resume(self._consumer.assignment())
        self._held = held

    def commit(self, ends: Mapping[Source, int]) -> None:
        """Commits these offsets, and those that could not be committed before; waits for the answer."""
        self._uncommitted |= ends
        wanted = [TopicPartition(*source, offset) for source, offset in self._uncommitted.items()]
        if not wanted:
            return
        try:
            answers = self._commits.commit(wanted)
        except KafkaException as error:
            # tried again with the next batch; what is read twice until then is one in the views
            self._say("offsets cannot be committed now", str(error))
            return
        if answers is None:
            self._say("a commit has no answer yet", "offsets are committed with a later batch")
            return
        for each in answers:
            source = Source(each.topic, each.partition)
            # the answer may be to an earlier request
            if each.error is None and self._uncommitted.get(source) == each.offset:
                del self._uncommitted[source]
        metrics.COMMITTED.set_to_current_time()

    def close(self) -> None:
        """Leaves the group."""
        if self._starvation is not None:
            self._starvation.stop()
        leave(self._consumer)

    def _resume(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            self._consumer.resume(list(partitions))
        except KafkaException as error:
            log.debug("partitions cannot be resumed, they went elsewhere", error=str(error))

    def _pause(self) -> None:
        try:
            self._consumer.pause(self._consumer.assignment())
        except KafkaException as error:
            log.debug("partitions cannot be paused now, they are at the next poll", error=str(error))

    def _arrived(self, message: Message) -> Arrived:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        return Arrived(
            self._logical[topic],
            Source(topic, partition),
            offset,
            message.timestamp()[1],
            as_bytes(message.key()),
            as_bytes(message.value()),
            header_pairs(message.headers()),
        )

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            raise FeedBroken(
                f"the consumer cannot go on: {error.str()}; where the broker is older than 4.0 set "
                "OPOI_KAFKA__GROUP_PROTOCOL=classic"
            )
        self._say("the broker does not give messages now", error.str())

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        gone = _sources(partitions)
        self._went |= gone
        self._newly = [each for each in self._newly if Source(each.topic, each.partition) not in gone]
        for source in gone:
            self._uncommitted.pop(source, None)

    def _say(self, what: str, error: str) -> None:
        now = time.monotonic()
        if now - self._said.get(what, float("-inf")) >= _SAY_EVERY:
            self._said[what] = now
            log.warning(what, error=error)


def _sources(partitions: Sequence[TopicPartition]) -> frozenset[Source]:
    return frozenset(Source(each.topic, each.partition) for each in partitions)


def _tell(what: str, partitions: Sequence[TopicPartition]) -> None:
    if partitions:
        log.info(what, partitions=len(partitions))
