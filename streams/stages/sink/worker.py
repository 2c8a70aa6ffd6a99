"""The sink as a process: every topic of the catalogue that is landed, into ClickHouse.

python -m streams.stages.sink.worker
"""

import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

import structlog
from clickhouse_connect.driver import options
from confluent_kafka import TopicPartition

from schemas.codec import Codec, SubjectNames
from schemas.registry import ConfluentRegistry
from sinks import metrics
from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.runtime import fetch_watchdog, logs
from streams.runtime.dlq_limit import Breaker
from streams.runtime.exit_codes import end_with_threads
from streams.runtime.fetch_watchdog import Starvation
from streams.runtime.kafka_clients import CheckedProducer, LogOffsets, make_consumer
from streams.runtime.loop_watchdog import Pulse
from streams.runtime.supervisor import Folders
from streams.settings import Settings, load_settings
from streams.stages.sink.batch import Batch
from streams.stages.sink.consumer import Feed
from streams.stages.sink.loop import STAGE, Sink, SinkStopped
from streams.stages.sink.row_mapper import BatchIntake
from streams.stages.sink.topic_ids import TopicIds, report_losses

RETRY_TOPIC = f"opoi.retry.{STAGE}"

_CONSUMER = {
    **fetch_watchdog.CONFIG,
    # rows land in batches: an answer of the broker for each record would only cost processor time
    "fetch.min.bytes": 256 * 1024,
    "fetch.wait.max.ms": 500,
    # what is fetched ahead is memory; an insert of a large batch is slower than a fetch anyway
    "queued.max.messages.kbytes": 32 * 1024,
    "max.poll.interval.ms": 300_000,
}

log = structlog.get_logger(__name__)


def source_topics() -> list[str]:
    """Logical names of the topics that the sink reads."""
    return [*tables(), RETRY_TOPIC]


def make_sink(settings: Settings, folders: Folders) -> Sink:
    """The sink of these settings, not yet in the group."""
    registry = ConfluentRegistry(settings.registry)
    topic_ids = TopicIds(settings.kafka)
    log_offsets = LogOffsets(settings.kafka)
    consumer = make_consumer(settings.kafka, f"opoi-{STAGE}", **_CONSUMER)

    def assigned(partitions: Sequence[TopicPartition]) -> None:
        topic_ids.forget()
        report_losses(consumer, log_offsets, partitions)

    codec = Codec(registry, SubjectNames(settings.kafka.topic_names))
    bounds = settings.clickhouse
    return Sink(
        feed=Feed(
            consumer,
            {settings.kafka.physical(topic): topic for topic in source_topics()},
            on_assigned=assigned,
            starvation=Starvation(settings.kafka),
        ),
        entry_of=BatchIntake(codec, registry, topic_ids).entry,
        store=ClickHouse(settings.clickhouse),
        letters=CheckedProducer(settings.kafka),
        breaker=Breaker(
            folders.tripped,
            run=settings.worker.breaker_run,
            share=settings.worker.breaker_share,
            window=settings.worker.breaker_window,
        ),
        batch=Batch(bounds.batch_rows, bounds.batch_bytes, bounds.batch_seconds),
    )


def run(settings: Settings) -> None:
    """Runs one worker until SIGTERM or SIGINT. Exits with a code of its own where the sink stops."""
    logs.configure(settings.log, stage=STAGE, worker=settings.worker.name)
    end_with_threads()
    folders = Folders(settings.home, STAGE, settings.worker.name)
    folders.worker.mkdir(parents=True, exist_ok=True)
    if folders.tripped.exists():
        log.warning(
            "this worker was stopped because it refused most of what it saw; it waits, then tries again",
            seconds=settings.worker.breaker_pause_seconds,
            next_step=f"look at the dead letters; delete {folders.tripped} to let records through again",
        )
        time.sleep(settings.worker.breaker_pause_seconds)
    # the client looks whether rows are a data frame, and would import pandas for it
    options.pd = None
    sink = make_sink(settings, folders)

    def asked_to_stop(number: int, frame: FrameType | None) -> None:
        sink.stop()

    signal.signal(signal.SIGTERM, asked_to_stop)
    signal.signal(signal.SIGINT, asked_to_stop)
    metrics.BEHIND_SECONDS.set_function(sink.behind)
    if settings.metrics.port is not None:
        from prometheus_client import start_http_server

        start_http_server(settings.metrics.port, addr=settings.metrics.host)
    log.info("the sink works", topics=len(source_topics()), clickhouse=settings.clickhouse.url)
    try:
        pulse = Pulse(STAGE)
        pulse.start()
        sink.run(pulse.beat)
        pulse.stop()
    except SinkStopped as stopped:
        log.critical("the sink stops", exit_code=stopped.code, error=str(stopped))
        sys.exit(stopped.code)
    log.info("the sink ended in order")


if __name__ == "__main__":
    run(load_settings())
