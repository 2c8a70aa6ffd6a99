"""Which records a fetch may return, and what happens if it dies.

A fetch of Faust takes the set of partitions that run, as a live object, into the consumer's thread. When
the last partition is paused while it waits, the set is empty, and aiokafka reads "none" as "all": the
records of every paused partition are returned, dropped, and never fetched again.
"""

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.faust_runner.safety.memory_bound import MEMORY
from streams.faust_runner.safety.patches import patch
from streams.runtime.exit_codes import ExitCode, fail_stop

_fetch_records: Any = AIOKafkaConsumerThread._fetch_records
_create_worker_consumer = AIOKafkaConsumerThread._create_worker_consumer


async def fetch_records(
    self: AIOKafkaConsumerThread, consumer: Any, active_partitions: set[TP] | None, **limits: Any
) -> Any:
    """Records of the partitions that ran when the fetch began; none if none ran."""
    if active_partitions is None:
        return await _fetch_records(self, consumer, None, **limits)
    _end_where_the_fetch_died(consumer._fetcher)
    running = frozenset(active_partitions)
    if len(waiting := consumer._fetcher._records) > 1:
        # a batch of a million records is handed out in many fetches: the others have their turn
        waiting.move_to_end(next(iter(waiting)))
    if MEMORY.paused is not None:
        limits["timeout"], MEMORY.paused = MEMORY.paused, None
    return await _fetch_records(self, consumer, running, **limits) if running else {}


def _end_where_the_fetch_died(fetcher: Any) -> None:
    """Ends the process if aiokafka's fetch task died: nothing else notices that fetching stopped."""
    task = fetcher._fetch_task
    # once the records that it fetched are finished, so that none of them counts as the cause
    if task.done() and not fetcher._closed and MEMORY.handed() == 0:
        error = None if task.cancelled() else task.exception()
        fail_stop(
            ExitCode.WATCHDOG,
            f"the fetch of this worker died ({type(error).__name__}: {error}); stopping, what it had not "
            "finished is read again",
        )


def create_worker_consumer(self: AIOKafkaConsumerThread, transport: Any) -> Any:
    """A consumer of committed records only: those of aborted transactions do not count."""
    consumer = _create_worker_consumer(self, transport)
    consumer._isolation_level = "read_committed"
    return consumer


PATCHES = (
    patch(
        "fetch",
        AIOKafkaConsumerThread,
        "_fetch_records",
        "39a2c6c79fc1455a199629912b533458a720c64983bc957420a42feef6593baa",
        fetch_records,
    ),
    patch(
        "isolation",
        AIOKafkaConsumerThread,
        "_create_worker_consumer",
        "c2701bfc3e6f6cad95c2be36d6a255a86e2c57d18d36cc1082b5fb5c482d99d7",
        create_worker_consumer,
    ),
)
