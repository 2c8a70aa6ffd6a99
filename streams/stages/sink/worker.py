"""The sink as a process."""

import gc
from collections.abc import Sequence
from typing import NoReturn

import structlog
from clickhouse_connect.driver import options
from confluent_kafka import Consumer, TopicPartition

from schemas.log_events import SINK_STARTED
from schemas.registry import make_codec
from schemas.stages import stage
from sinks import metrics
from sinks.clickhouse import ClickHouse
from streams.runtime import process
from streams.runtime.consumer import WorkerConsumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.kafka_clients import CheckedProducer, LogOffsets
from streams.runtime.loop_watchdog import LoopWatchdog
from streams.runtime.process import WorkerProcess
from streams.settings import Settings
from streams.stages.sink.batch import Batch
from streams.stages.sink.loop import Sink
from streams.stages.sink.ports import STAGE
from streams.stages.sink.row_mapper import RowMapper
from streams.stages.sink.topic_ids import TopicIds, report_losses

_CONSUMER = {
    # rows land in batches: one fetch per record would only cost processor time
    "fetch.min.bytes": 256 * 1024,
    "fetch.wait.max.ms": 500,
    # records fetched ahead cost memory; an insert of a large batch is slower than a fetch anyway
    "queued.max.messages.kbytes": 32 * 1024,
    "max.poll.interval.ms": 300_000,
}

# records end with their batch, and have no cycles: the collector would walk them again and again for nothing
_COLLECT_AFTER = 100_000
"""New objects between two runs of the collector; Python's default is 700."""

log = structlog.get_logger(__name__)


def make_sink(settings: Settings, guards: CrashGuard) -> Sink:
    """The sink of these settings, not yet in the group."""
    topic_ids = TopicIds(settings.kafka)
    log_offsets = LogOffsets(settings.kafka)

    def assigned(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        topic_ids.forget()
        report_losses(consumer, log_offsets, partitions)

    def consumer_of(sink: Sink) -> WorkerConsumer:
        return WorkerConsumer(
            settings.kafka,
            STAGE,
            stage(STAGE).inputs,
            guards,
            on_revoked=sink.revoked,
            on_lost=sink.drop,
            on_assigned=assigned,
            **_CONSUMER,
        )

    bounds = settings.clickhouse
    return Sink(
        consumer=consumer_of,
        entry_of=RowMapper(make_codec(settings), topic_ids).entry,
        store=ClickHouse(settings.clickhouse),
        letters=CheckedProducer(settings.kafka),
        guards=guards,
        batch=Batch(bounds.batch_rows, bounds.batch_bytes, bounds.batch_seconds),
    )


def run(settings: Settings) -> NoReturn:
    """Runs one worker until SIGTERM or SIGINT; exits with an `ExitCode`."""

    def work(worker: WorkerProcess) -> None:
        # the client checks whether rows are a data frame, and would import pandas for it
        options.pd = None
        sink = make_sink(settings, worker.guards)
        worker.on_stop(sink.stop)
        metrics.BEHIND_SECONDS.set_function(sink.behind)
        SINK_STARTED.emit(log, topics=len(stage(STAGE).inputs), clickhouse=settings.clickhouse.url)
        watchdog = LoopWatchdog(STAGE)
        watchdog.start()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        sink.run(watchdog.reset)
        watchdog.stop()

    process.run(STAGE, settings, work)
