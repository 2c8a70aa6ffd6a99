"""Partitions on which librdkafka stands still, before a batch that it cannot unpack.

Of some batches it says that it cannot read them (a codec that fails, more than 100 MB of zstd), of others
nothing (a length that lies): it asks for them again and again, and hands out nothing of what follows. So a
partition that has records and gives none is tried by a consumer that has nothing else to do.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.log_events import BATCH_NOT_SKIPPED, PARTITION_TRIED
from schemas.settings import KafkaSettings
from streams.runtime.kafka_clients import make_consumer
from streams.runtime.offsets import Source

LOOK_SECONDS = 1.0
STANDS_SECONDS = 10.0
"""How long a partition with records returns none before it is tried."""
TRIAL_SECONDS = 10.0
"""How long a trial waits for the broker's answer."""
SILENT_POLLS = 20
"""Polls of 0.2 s without a record after that answer; unpacking 400 MiB takes 4 s. A count, because a
frozen process would take its own pause for silence."""
MOST_TRIALS = 8
"""Trials at once: one that fails takes 5 s, and the next record is to be processed within a minute."""
AGAIN_SECONDS = 20.0
"""How long a partition on which a trial read a record is not tried again."""
CANNOT_READ = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED})
"""Errors of librdkafka that name a batch, and come again and again."""

log = structlog.get_logger(__name__)


class Standstill:
    """How far each partition of `consumer` came, and which stand. Not thread-safe."""

    def __init__(
        self, kafka: KafkaSettings, group: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._clock = clock
        self._next: dict[Source, int] = {}
        self._since: dict[Source, tuple[int, float]] = {}
        self._trials: dict[Source, tuple[int, Future[bool]]] = {}
        self._looked = 0.0

    def begin(self, source: Source, offset: int | None) -> None:
        """`source` is assigned and read from `offset` on; None: from where its log begins."""
        self.end(source)
        if offset is not None:
            self._next[source] = offset

    def end(self, source: Source) -> None:
        """`source` is no longer assigned."""
        self._next.pop(source, None)
        self._since.pop(source, None)
        self._trials.pop(source, None)

    def came(self, source: Source, following: int) -> None:
        """All before the offset `following` has come, or was passed over."""
        self._next[source] = following

    def next(self, source: Source) -> int:
        """The offset that comes next."""
        return self._next.get(source, 0)

    def held(self) -> None:
        """Records are held back: that nothing comes says nothing."""
        self._since.clear()

    def stands(self, consumer: Consumer, sources: Iterable[Source]) -> list[tuple[Source, int]]:
        """The partitions of `sources` that stand, and the offset on each that cannot be read.

        To be asked after a poll that left nothing in the client's queue. Trials run in threads of their own.
        """
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return []
        self._looked = now
        found = []
        for source in sources:
            begin, end = _known_log(consumer, source)
            offset = max(self.next(source), begin)
            if source in self._trials:
                at, trial = self._trials[source]
                if trial.done():
                    del self._trials[source]
                    self._since[source] = offset, now + AGAIN_SECONDS
                    if trial.result() and at == offset:
                        found.append((source, offset))
            elif end <= offset:
                self._since.pop(source, None)
            elif self._stands_since(source, offset, now) and len(self._trials) < MOST_TRIALS:
                trial = begin_trial(self._kafka, self._group, source, offset)
                self._trials[source] = offset, trial
        return found

    def _stands_since(self, source: Source, offset: int, now: float) -> bool:
        """Whether `source` has stood at `offset` for long enough."""
        at, since = self._since.get(source, (offset, now))
        self._since[source] = offset, since if at == offset else now
        return at == offset and now - since >= STANDS_SECONDS


def begin_trial(kafka: KafkaSettings, group: str, source: Source, offset: int) -> Future[bool]:
    """Whether a consumer of `source` alone reads nothing at `offset`, although the broker answers it.

    Nothing is committed. The answer takes up to TRIAL_SECONDS and the polls.
    """
    PARTITION_TRIED.emit(log, topic=source.topic, partition=source.partition, offset=offset)
    answer: Future[bool] = Future()

    def work() -> None:
        try:
            consumer = make_consumer(kafka, group, **{"enable.partition.eof": True})
            consumer.assign([TopicPartition(*source, offset)])
            answer.set_result(_reads_nothing(consumer, source, offset))
        except KafkaException as error:
            BATCH_NOT_SKIPPED.emit(log, topic=source.topic, error=str(error))
            answer.set_result(False)
        else:
            # it can hang without limit in librdkafka, so nobody waits for it
            consumer.close()

    threading.Thread(target=work, name="trial", daemon=True).start()
    return answer


def _reads_nothing(consumer: Consumer, source: Source, offset: int) -> bool:
    silent, end = 0, time.monotonic() + TRIAL_SECONDS
    while silent < SILENT_POLLS and (silent or time.monotonic() < end):
        for message in consumer.consume(1, 0.2):
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return False
            if error.code() in CANNOT_READ:
                return True
        silent += _known_log(consumer, source)[1] > offset
    return silent == SILENT_POLLS


def place_of(message: Message) -> tuple[Source, int]:
    """Where a message stands; one that tells of a failure alone may stand nowhere."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return Source(topic or "", -1 if partition is None else partition), -1 if offset is None else offset


def _known_log(consumer: Consumer, source: Source) -> tuple[int, int]:
    """Where the log begins and ends, as the client last heard with what it fetched; -1: it heard nothing."""
    try:
        begin, end = consumer.get_watermark_offsets(TopicPartition(*source), cached=True)
    except KafkaException:
        return -1, -1  # not fetched yet
    return begin, end
