"""Commits with a time limit.

librdkafka's commit has no time limit, and sometimes never returns (confluent-kafka-python issue 1801): the
worker would stop polling and lose its partitions for ever. So it runs in a thread of its own, and a client
that hangs although the broker answers ends the process.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.runtime.exit_codes import ExitCode, fail_stop

WAIT_SECONDS = 20.0
"""Well below the poll interval."""
HANG_SECONDS = 60.0
BROKER_SECONDS = 5.0


class BoundedCommit:
    """Commits offsets of one consumer, one request at a time. Not thread-safe."""

    def __init__(
        self,
        consumer: Consumer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: float = WAIT_SECONDS,
        end: Callable[[ExitCode, str], None] = fail_stop,
    ) -> None:
        self._consumer = consumer
        self._clock = clock
        self._wait = wait
        self._end = end
        self._asked: Future[list[TopicPartition]] | None = None
        self._since = 0.0
        self._here = False

    @property
    def under_way(self) -> bool:
        """Whether a commit waits for its answer; then `commit` begins no other one."""
        return self._asked is not None

    @contextmanager
    def in_callback(self) -> Iterator[None]:
        """For the callbacks of a rebalance: there the client answers only the thread that it called."""
        self._here = True
        try:
            yield
        finally:
            self._here = False

    def commit(self, offsets: Sequence[TopicPartition]) -> list[TopicPartition] | None:
        """The answers to these offsets, or to those under way; None without an answer in time.

        Each answer has its own error. Raises KafkaException if the broker refuses all of them.
        """
        if self._here:
            if self._asked is not None:
                return None
            return self._consumer.commit(offsets=list(offsets), asynchronous=False) or []
        if self._asked is None:
            self._asked = self._ask(list(offsets))
            self._since = self._clock()
        try:
            answers = self._asked.result(max(0.0, self._since + self._wait - self._clock()))
        except TimeoutError:
            self._check(offsets)
            return None
        except KafkaException:
            self._asked = None
            raise
        self._asked = None
        return answers

    def _ask(self, offsets: list[TopicPartition]) -> Future[list[TopicPartition]]:
        asked: Future[list[TopicPartition]] = Future()

        def work() -> None:
            try:
                asked.set_result(self._consumer.commit(offsets=offsets, asynchronous=False) or [])
            except (KafkaException, RuntimeError) as error:
                asked.set_exception(error)

        threading.Thread(target=work, name="commit", daemon=True).start()
        return asked

    def _check(self, offsets: Sequence[TopicPartition]) -> None:
        """Ends the process if the client hangs; not while the broker is unreachable."""
        if self._clock() - self._since < HANG_SECONDS:
            return
        try:
            self._consumer.list_topics(offsets[0].topic, timeout=BROKER_SECONDS)
        except KafkaException:
            self._since = self._clock()
            return
        self._end(
            ExitCode.WATCHDOG,
            f"the broker answers, but a commit of offsets has had no answer for {HANG_SECONDS:.0f} s; "
            "stopping, what was not committed is done again",
        )
