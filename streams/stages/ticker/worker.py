"""The ticker: `opoi worker ticker`. The clock of the keyed stages' tables.

It has no state. One ticker is enough; several do no harm, because every ticker writes the same: the time, and
the ends of all sources at that time.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.codec import Codec
from schemas.errors import NotRegistered, RegistryAway
from schemas.log_events import TICK_FAILED
from schemas.records import EndOffset, Tick
from schemas.registry import make_codec
from schemas.settings import KafkaSettings
from schemas.stages import retry_of, stages, ticks_of
from streams.runtime import process
from streams.runtime.kafka_clients import CheckedProducer, DeliveryFailed, LogOffsets
from streams.runtime.process import WorkerProcess
from streams.runtime.readiness import wait_for_topics
from streams.runtime.throttled_log import ThrottledLog
from streams.settings import Settings

STAGE = "ticker"
BROKER_SECONDS = 10.0
REPLICATION = timedelta(seconds=1)
"""A record gets its time before it is replicated; only then it is below the end of its log."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TICKS = Counter("opoi_ticks_total", "Ticks that the broker acknowledged.", ["stage"])
LAST_TICK = Gauge("opoi_last_tick_timestamp_seconds", "Time of the last tick, Unix seconds.", ["stage"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TickedStage:
    """A keyed stage: its tick topic and everything it reads beside it, by logical name."""

    stage: str
    ticks: str
    sources: tuple[str, ...]


CLOCKED = tuple(
    TickedStage(spec.name, ticks_of(spec.name), (*spec.sources, retry_of(spec.name)))
    for spec in stages().values()
    if spec.keyed
)


class BrokerClock:
    """The broker's time, never ahead of it.

    Deadlines count from the broker's times of records, so they must not fire by the clock of another machine.
    Each acknowledged tick has the time at which the broker appended it; from then on this machine counts the
    seconds.
    """

    def __init__(self) -> None:
        self._behind: float | None = None
        self._heard: list[float] = []

    def appended(self, milliseconds: int) -> None:
        """A record was appended at this broker time, and is acknowledged now."""
        self._heard.append(milliseconds / 1000 - time.monotonic())

    def now(self) -> datetime | None:
        """The broker's time, or a little before it; None before the first acknowledgement."""
        if self._heard:
            # with several brokers the slowest clock counts
            self._behind, self._heard = min(self._heard), []
        if self._behind is None:
            return None
        return _EPOCH + timedelta(seconds=self._behind + time.monotonic())


class _Producer(CheckedProducer):
    """Sets the clock by the broker's time of each acknowledged record."""

    def __init__(self, settings: KafkaSettings, clock: BrokerClock, **overrides: object) -> None:
        super().__init__(settings, **overrides)
        self._clock = clock

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        super()._delivered(error, message)
        if error is None:
            self._clock.appended(message.timestamp()[1])


class Ticker:
    """Writes ticks for `clocked`. Not thread-safe."""

    def __init__(self, kafka: KafkaSettings, codec: Codec, clocked: Iterable[TickedStage] = CLOCKED) -> None:
        self._kafka = kafka
        self._codec = codec
        self._clocked = tuple(clocked)
        self._clock = BrokerClock()
        self._log_offsets = LogOffsets(kafka)
        # a late tick is useless: the next one is newer
        self._producer = _Producer(kafka, self._clock, **{"message.timeout.ms": int(BROKER_SECONDS * 1000)})
        self._log = ThrottledLog(log)

    def run(self, seconds: float, stop: threading.Event) -> None:
        """Writes a tick for every stage and partition each `seconds`, until `stop`. Raises TopicsMissing."""
        topics = [topic for each in self._clocked for topic in (each.ticks, *each.sources)]
        counts = wait_for_topics(self._kafka, topics)
        due = time.monotonic()
        while not stop.is_set():
            for each in self._clocked:
                self._try(each, counts[each.ticks])
            # after a pause, missed ticks are not written later
            due = max(due + seconds, time.monotonic())
            stop.wait(due - time.monotonic())

    def tick(self, clocked: TickedStage, partitions: int) -> None:
        """Writes a tick for each partition of it. Raises KafkaException, DeliveryFailed, RegistryAway."""
        # First the time, then the ends: all records appended before `at` are then below the ends, so a stage
        # that has read up to them knows these records. In the other order, a record appended between the
        # two would be before `at`, but no stage would wait for it: a deadline would fire too early. The
        # first tick only gets the broker's time, and is too old for any deadline.
        now = self._clock.now()
        at = now - REPLICATION if now else _EPOCH
        ends = self._ends(clocked.sources, partitions)
        for partition in range(partitions):
            tick = Tick(
                stage=clocked.stage,
                partition=partition,
                partitions=partitions,
                at=at,
                end_offsets=tuple(
                    EndOffset(topic=source, offset=ends[source, partition]) for source in clocked.sources
                ),
            )
            self._producer.send(
                clocked.ticks, None, self._codec.encode(clocked.ticks, tick), partition=partition
            )
        self._producer.flush(2 * BROKER_SECONDS)
        TICKS.labels(clocked.stage).inc(partitions)
        LAST_TICK.labels(clocked.stage).set(at.timestamp())

    def _ends(self, sources: tuple[str, ...], partitions: int) -> Mapping[tuple[str, int], int]:
        """The end of each source partition for a reader of committed records, by logical name."""
        asked = {
            (source, partition): TopicPartition(self._kafka.physical(source), partition)
            for source in sources
            for partition in range(partitions)
        }
        ends = self._log_offsets.ends(asked.values())
        return {name: ends[place] for name, place in asked.items()}

    def _try(self, clocked: TickedStage, partitions: int) -> None:
        try:
            self.tick(clocked, partitions)
        except (KafkaException, DeliveryFailed, RegistryAway, NotRegistered) as error:
            self._log.emit(
                TICK_FAILED, table=clocked.stage, error=str(error.args[0] if error.args else error)
            )


def run(settings: Settings) -> NoReturn:
    """Ticks until the process is asked to stop."""

    def work(worker: WorkerProcess) -> None:
        stop = threading.Event()
        worker.on_stop(stop.set)
        Ticker(settings.kafka, make_codec(settings)).run(settings.pipeline.tick_seconds, stop)

    process.run(STAGE, settings, work)
