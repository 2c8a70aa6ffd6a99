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
        self._pending: Future[list[TopicPartition]] | None = None
        self._since = 0.0
        self._in_callback = False

    @property
    def under_way(self) -> bool:
        """Whether a commit waits for its answer; then `commit` begins no other one."""
        return self._pending is not None

    @contextmanager
    def in_callback(self) -> Iterator[None]:
        """For the callbacks of a rebalance: there the client answers only the thread that it called."""
        self._in_callback = True
        try:
            yield
        finally:
            self._in_callback = False

    def commit(self, offsets: Sequence[TopicPartition]) -> list[TopicPartition] | None:
        """The answers to these offsets, or to those under way; None without an answer in time.

        Each answer has its own error. Raises KafkaException if the broker refuses all of them.
        """
        if self._in_callback:
            if self._pending is not None:
                return None
            return self._consumer.commit(offsets=list(offsets), asynchronous=False) or []
        if self._pending is None:
            self._pending = self._start(list(offsets))
            self._since = self._clock()
        try:
            answers = self._pending.result(max(0.0, self._since + self._wait - self._clock()))
        except TimeoutError:
            self._check(offsets)
            return None
        except KafkaException:
            self._pending = None
            raise
        self._pending = None
        return answers

    def _start(self, offsets: list[TopicPartition]) -> Future[list[TopicPartition]]:
        answer: Future[list[TopicPartition]] = Future()

        def work() -> None:
            try:
                answer.set_result(self._consumer.commit(offsets=offsets, asynchronous=False) or [])
            except (KafkaException, RuntimeError) as error:
                answer.set_exception(error)

        threading.Thread(target=work, name="commit", daemon=True).start()
        return answer

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
