"""Ends a worker to which nothing comes although the group gives it partitions with records.

After a rebalance librdkafka (2.16, under load) can stop fetching without an error: the group counts the
member and its partitions, so nobody else gets them. Only the broker's side shows it.
"""

import threading
import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.settings import KafkaSettings
from streams.exit_codes import ExitCode, fail_stop
from streams.kafka_clients import log_ends, log_starts, make_admin
from streams.workers.offsets import Source

LIMIT_SECONDS = 90.0
BUSY_SECONDS = 10.0
"""A loop that has not asked for so long was at work; what it did not ask for could not come."""
BROKER_SECONDS = 10.0
# only the ends that librdkafka tells show that it stands behind markers, which are never handed out
CONFIG = {"enable.partition.eof": True}

log = structlog.get_logger(__name__)


class Starvation:
    """The loop says `asked` after each poll; `limit` seconds of polls without an answer are looked into."""

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        *,
        limit: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[ExitCode, str], None] = fail_stop,
    ) -> None:
        self._group = group
        self._limit = limit
        self._clock = clock
        self._end = end
        self._admin = make_admin(kafka)
        self._next: dict[Source, int] = {}
        self._asked = clock()
        self._empty_since: float | None = None

    def start(self, consumer: Consumer) -> None:
        """Looks from now on, in a daemon thread, for as long as the process lives."""

        def run() -> None:
            while True:
                time.sleep(self._limit / 6)
                self.look(consumer)

        threading.Thread(target=run, name="starvation", daemon=True).start()

    def asked(self, came: Iterable[Message], *, held: bool = False) -> None:
        """A poll has come back with `came`, ends of partitions too. `held`: records were not wanted."""
        before, self._asked = self._asked, self._clock()
        nothing = True
        for message in came:
            nothing = False
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is not None and partition is not None and offset is not None:
                self._next[Source(topic, partition)] = offset + (message.error() is None)
        if not nothing or held or self._asked - before > BUSY_SECONDS:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = self._asked

    def look(self, consumer: Consumer) -> None:
        """One look."""
        if not self._hungers():
            return
        try:
            missing = self._missing(consumer.memberid() or "")
        except KafkaException as error:
            log.debug("it cannot be told whether records wait", error=str(error))
            self._empty_since = None
            return
        except RuntimeError:
            return  # the consumer is closed
        if missing and self._hungers():
            self._end(
                ExitCode.WATCHDOG,
                f"nothing has come for {self._limit:.0f} s, although {missing}; stopping, what was not "
                "committed is done again",
            )

    def _hungers(self) -> bool:
        now, since = self._clock(), self._empty_since
        return since is not None and now - since >= self._limit and now - self._asked <= BUSY_SECONDS

    def _missing(self, member_id: str) -> str:
        """What ought to come; nothing where all is read, or the group is busy with itself."""
        described = self._admin.describe_consumer_groups([self._group], request_timeout=BROKER_SECONDS)
        found = described[self._group].result()
        member = next((one for one in found.members if one.member_id == member_id), None)
        if member is None:
            settled = (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
            return f"the group {self._group} does not know this worker" if found.state in settled else ""
        waiting = self._waiting(member.assignment.topic_partitions)
        if not waiting:
            return ""
        place, count = max(waiting.items(), key=lambda one: one[1])
        return (
            f"{sum(waiting.values())} records wait in {len(waiting)} partitions that the group gives to this "
            f"worker, {count} of them in {place.topic}[{place.partition}]"
        )

    def _waiting(self, places: list[TopicPartition]) -> dict[Source, int]:
        """Records that were neither handed out nor committed, by partition."""
        if not places:
            return {}
        bare = [TopicPartition(each.topic, each.partition) for each in places]
        asked = ConsumerGroupTopicPartitions(self._group, bare)
        answered = self._admin.list_consumer_group_offsets([asked], request_timeout=BROKER_SECONDS)
        committed = {
            Source(each.topic, each.partition): each.offset
            for each in answered[self._group].result().topic_partitions
        }
        starts = log_starts(self._admin, bare, BROKER_SECONDS)
        waiting = {}
        for place, end in log_ends(self._admin, bare, BROKER_SECONDS).items():
            source = Source(place.topic, place.partition)
            begun = max(self._next.get(source, 0), committed[source], starts[place])
            if begun < end:
                waiting[source] = end - begun
        return waiting
