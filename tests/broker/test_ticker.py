"""The ticker on a real broker: a tick never claims a time before which a record may still come."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from local_stack.kafka import Broker
from schemas.catalog import topic as topic_spec
from schemas.codec import Codec
from schemas.memory import MemoryStore
from schemas.records import Tick
from schemas.settings import KafkaSettings
from streams.runtime.kafka_clients import CheckedProducer
from streams.stages.ticker.worker import CLOCKED, Ticker
from tests.broker.replay_kit import wait_for

pytestmark = pytest.mark.stack
PARTITIONS = 3
TOPICS = tuple(topic for each in CLOCKED for topic in (each.ticks, *each.sources))
CODEC = Codec(MemoryStore.whole())


@pytest.fixture
def kafka(broker: Broker) -> KafkaSettings:
    prefix = f"t{time.time_ns()}"
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap, topic_names={name: f"{prefix}.{name}" for name in TOPICS}
    )
    wanted = [
        NewTopic(settings.physical(name), PARTITIONS, 1, config=topic_spec(name).topic_config())
        for name in TOPICS
    ]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics(wanted).values():
        future.result(30)
    return settings


@pytest.fixture
def running(kafka: KafkaSettings) -> Iterator[KafkaSettings]:
    """The topics, with two tickers at work."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=Ticker(kafka, CODEC).run, args=(0.2, stop), daemon=True) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    yield kafka
    stop.set()
    for thread in threads:
        thread.join(30)


def read(kafka: KafkaSettings, topic: str, partition: int, patience: float = 60) -> list[Any]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reader", "fetch.wait.max.ms": 20}
    )
    place = TopicPartition(kafka.physical(topic), partition, 0)
    found = []
    try:
        _, end = consumer.get_watermark_offsets(place, timeout=patience)
        consumer.assign([place])
        while max(consumer.position([place])[0].offset, 0) < end:
            found += consumer.consume(500, 0.2)
    finally:
        consumer.close()
    assert all(message.error() is None for message in found)
    return found


def ticks(kafka: KafkaSettings, topic: str, partition: int) -> list[Tick]:
    """The ticks that have a time; the first of a ticker has none."""
    found = [CODEC.decode_as(topic, message.value(), Tick) for message in read(kafka, topic, partition)]
    return [tick for tick in found if tick.at.year > 1970]


def test_whatever_came_before_a_tick_stands_below_its_offsets(running: KafkaSettings) -> None:
    stop = threading.Event()

    def write() -> None:
        producer = CheckedProducer(running)
        while not stop.is_set():
            for each in CLOCKED:
                for source in each.sources:
                    for partition in range(PARTITIONS):
                        producer.send(source, None, b"x", partition=partition)
            time.sleep(0.002)
        producer.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for(lambda: len(ticks(running, "opoi.ticks.trigger", PARTITIONS - 1)) >= 12)
    finally:
        stop.set()
        writer.join()
    compared = 0
    for each in CLOCKED:
        for partition in range(PARTITIONS):
            times = {
                source: [message.timestamp()[1] for message in read(running, source, partition)]
                for source in each.sources
            }
            found = ticks(running, each.ticks, partition)
            assert found
            for tick in found:
                assert (tick.stage, tick.partition, tick.partitions) == (each.stage, partition, PARTITIONS)
                assert tuple(end.topic for end in tick.end_offsets) == each.sources
                at = tick.at.timestamp() * 1000
                for end in tick.end_offsets:
                    later = times[end.topic][end.offset :]
                    assert all(time >= at for time in later)
                    compared += len(later)
            # and a tick is not so cautious that nothing ever fires
            assert max(tick.end_offsets[0].offset for tick in found) > 0
            assert found[-1].at.timestamp() > time.time() - 60
    assert compared > 1000


def test_a_record_that_is_not_committed_does_not_count_yet(kafka: KafkaSettings) -> None:
    source = CLOCKED[0].sources[0]
    open_one = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "open"})
    open_one.init_transactions(30)
    open_one.begin_transaction()
    open_one.produce(kafka.physical(source), b"x", partition=0)
    open_one.flush(10)
    ticker = Ticker(kafka, CODEC)

    def end() -> int:
        ticker.tick(CLOCKED[0], PARTITIONS)
        ticker.tick(CLOCKED[0], PARTITIONS)
        return ticks(kafka, CLOCKED[0].ticks, 0)[-1].end_offsets[0].offset

    try:
        assert end() == 0
    finally:
        open_one.commit_transaction(30)
    # the record and the mark of its transaction, which comes a little later
    wait_for(lambda: end() == 2)


def test_it_goes_on_when_the_broker_comes_back(running: KafkaSettings, broker: Broker) -> None:
    wait_for(lambda: ticks(running, "opoi.ticks.join", 0))
    broker.kill()
    time.sleep(2)
    with pytest.raises(KafkaException):
        read(running, "opoi.ticks.join", 0, patience=1)
    came_back = time.time()
    broker.start()
    wait_for(lambda: ticks(running, "opoi.ticks.join", 0)[-1].at.timestamp() > came_back)
