"""Ends a worker whose fetch is stalled: it receives nothing although its partitions have records.

After a rebalance librdkafka (2.16, under load) can stop fetching without an error: the group counts the
member and its partitions, so no other worker gets them. Only the broker knows that records wait. The consumer
asks it by partition: admin requests about a group abort the process when an unreachable broker answers late.
"""

import threading
import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.log_events import FETCH_CHECK_FAILED
from schemas.settings import KafkaSettings
from streams.runtime.exit_codes import ExitCode, fail_stop
from streams.runtime.kafka_clients import LogOffsets
from streams.runtime.offsets import Source

LIMIT_SECONDS = 90.0
GRACE_SECONDS = 5.0
"""Time that a record just appended may take to arrive: the broker may collect some first."""
BUSY_SECONDS = 10.0
"""A loop that did not poll for so long was busy; without a poll nothing can arrive."""
BROKER_SECONDS = 10.0
# ends of partitions show that librdkafka is past transaction markers, which it never returns
CONFIG = {"enable.partition.eof": True}

log = structlog.get_logger(__name__)


class FetchWatchdog:
    """The loop calls `polled` after each poll; after `limit` seconds of empty polls the broker is asked."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        limit: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[ExitCode, str], None] = fail_stop,
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._end = end
        self._log_offsets = LogOffsets(kafka)
        self._next: dict[Source, int] = {}
        self._polled_at = clock()
        self._empty_since: float | None = None
        self._suspected: tuple[float | None, float] = None, 0.0
        self._checking = threading.Lock()

    def start(self, consumer: Consumer) -> None:
        """Checks from now on, in a daemon thread, until `stop`."""

        def run() -> None:
            while True:
                time.sleep(self._limit / 6)
                with self._checking:
                    self.check(consumer)

        threading.Thread(target=run, name="fetch-watchdog", daemon=True).start()

    def stop(self) -> None:
        """No check from now on: a client must not be called while it is closed."""
        self._checking.acquire(timeout=BROKER_SECONDS)

    def polled(self, messages: Iterable[Message], *, held: bool = False) -> None:
        """A poll returned `messages`, ends of partitions included. `held`: the partitions were paused."""
        before, self._polled_at = self._polled_at, self._clock()
        nothing = True
        for message in messages:
            nothing = False
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is not None and partition is not None and offset is not None:
                self._next[Source(topic, partition)] = offset + (message.error() is None)
        if not nothing or held or self._polled_at - before > BUSY_SECONDS:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = self._polled_at

    def check(self, consumer: Consumer) -> None:
        """Ends the process if the fetch is stalled."""
        if not self._is_idle():
            return
        try:
            waiting = self._waiting(consumer)
        except KafkaException as error:
            FETCH_CHECK_FAILED.emit(log, error=str(error))
            self._empty_since = None
            return
        except RuntimeError:
            return  # the consumer is closed
        if waiting and self._is_idle() and self._is_confirmed():
            place, count = max(waiting.items(), key=lambda one: one[1])
            self._end(
                ExitCode.WATCHDOG,
                f"no record received for {self._limit:.0f} s, although {sum(waiting.values())} records "
                f"wait in {len(waiting)} partitions of this worker, {count} of them in "
                f"{place.topic}[{place.partition}]; stopping, what was not committed is done again",
            )

    def _is_confirmed(self) -> bool:
        """Whether an earlier check found waiting records too, long enough ago for them to arrive."""
        since, found = self._suspected
        if since != self._empty_since:
            self._suspected = self._empty_since, self._clock()
            return False
        return self._clock() - found >= GRACE_SECONDS

    def _is_idle(self) -> bool:
        now, since = self._clock(), self._empty_since
        return since is not None and now - since >= self._limit and now - self._polled_at <= BUSY_SECONDS

    def _waiting(self, consumer: Consumer) -> dict[Source, int]:
        """Records that were neither received nor committed, by partition of the consumer."""
        places = [TopicPartition(each.topic, each.partition) for each in consumer.assignment()]
        if not places:
            return {}
        committed = {
            Source(each.topic, each.partition): each.offset
            for each in consumer.committed(places, timeout=BROKER_SECONDS)
        }
        starts = self._log_offsets.starts(places)
        waiting = {}
        for place, end in self._log_offsets.ends(places).items():
            source = Source(place.topic, place.partition)
            begun = max(self._next.get(source, 0), committed[source], starts[place])
            if begun < end:
                waiting[source] = end - begun
        return waiting
