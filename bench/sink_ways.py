"""The ways in which `bench.sink` gets records from a topic into their table, each measured."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import avro.io
import avro.schema
import clickhouse_connect
import psutil
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.catalog import plain_schema
from schemas.codec import unframe
from schemas.record import Record
from schemas.registry import make_codec
from sinks.tables import tables
from streams.runtime.kafka_clients import CheckedProducer
from testkit.running_stack import RunningStack

GROUP = "opoi-sink"
OPOI = Path(sys.executable).with_name("opoi")
NAIVE_BATCH = 1_000
NAIVE_SHARE = 4
"""The naive way is given one in so many of the records."""
COUNTED = 0.9
"""Of the backlog, so much: the sink's last batch would only wait for more."""
PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Run:
    """Rows a second; of the sink also microseconds of processor time a row, its own and ClickHouse's."""

    rate: float
    worker_us: float = 0.0
    clickhouse_us: float = 0.0


class Bed:
    """A stack without workers, and the records of one topic in its broker."""

    def __init__(self, stack: RunningStack, topic: str, count: int) -> None:
        self.stack = stack
        self.topic = topic
        self.table = tables()[topic]
        self.count = count
        self.admin = AdminClient({"bootstrap.servers": stack.settings.kafka.bootstrap_servers})
        url = stack.settings.clickhouse.url.removeprefix("http://")
        host, _, port = url.partition(":")
        self.client: Client = clickhouse_connect.get_client(
            host=host,
            port=int(port),
            database=stack.settings.clickhouse.database,
            autogenerate_session_id=False,
        )

    def feed(self, make: Callable[[int], Record]) -> int:
        """Puts the records into the broker; bytes of one on the wire."""
        codec = make_codec(self.stack.settings)
        producer = CheckedProducer(self.stack.settings.kafka)
        size = 0
        for number in range(self.count):
            value = codec.encode(self.topic, make(number))
            size += len(value)
            producer.send(self.topic, f"k{number}", value)
        producer.flush(PATIENCE_SECONDS)
        return size // self.count

    @cached_property
    def places(self) -> list[TopicPartition]:
        """The topic's partitions."""
        found = self.admin.list_topics(timeout=30).topics[self.topic].partitions
        return [TopicPartition(self.topic, partition) for partition in found]

    def rows(self) -> int:
        """Rows in the table."""
        return int(self.client.query(f"SELECT count() FROM {self.table.name}").result_rows[0][0])

    def empty(self) -> None:
        """Before each run."""
        self.client.command(f"TRUNCATE TABLE {self.table.name}")

    def committed(self) -> int:
        """Records that the sink has landed."""
        asked = ConsumerGroupTopicPartitions(GROUP, self.places)
        answer = self.admin.list_consumer_group_offsets([asked])[GROUP].result()
        return sum(max(0, one.offset) for one in answer.topic_partitions or [])

    def forget_group(self) -> None:
        """So that the next sink begins with the first record."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._forgotten():
            assert time.monotonic() < give_up, f"{GROUP} has members still"
            time.sleep(0.2)

    def _forgotten(self) -> bool:
        try:
            self.admin.delete_consumer_groups([GROUP])[GROUP].result()
        except KafkaException:
            # until the broker has taken notice that its member left
            return False
        return True

    def pid(self, name: str) -> int:
        """A process of the stack."""
        command = [str(OPOI), "status", "--json"]
        said = subprocess.run(command, env=self.stack.env, stdout=subprocess.PIPE, check=True).stdout
        pid: int = next(one["pid"] for one in json.loads(said)["processes"] if one["name"] == name)
        return pid


def by_sink(bed: Bed, folder: Path) -> Run:
    """One run of the worker."""
    bed.empty()
    clickhouse = psutil.Process(bed.pid("clickhouse"))
    with worker(bed, folder) as process:
        points: list[tuple[float, int, float, float]] = []
        give_up = time.monotonic() + PATIENCE_SECONDS
        while (done := bed.committed()) < bed.count:
            assert process.poll() is None, f"the sink ended: {(folder / 'sink.log').read_text()[-2000:]}"
            assert time.monotonic() < give_up, f"{done} of {bed.count} are landed"
            if done and (not points or done > points[-1][1]) and done <= COUNTED * bed.count:
                now = time.monotonic()
                points.append((now, done, seconds_of(psutil.Process(process.pid)), seconds_of(clickhouse)))
            time.sleep(0.02)
    bed.forget_group()
    assert bed.rows() == bed.count, f"{bed.rows()} rows of {bed.count} records"
    assert len(points) > 1, f"{bed.count} records of {bed.topic} are too few: they are landed at once"
    (began, first, *used), (ended, last, *use) = points[0], points[-1]
    worker_us, clickhouse_us = (
        (after - before) / (last - first) * 1_000_000 for before, after in zip(used, use, strict=True)
    )
    return Run((last - first) / (ended - began), worker_us, clickhouse_us)


@contextmanager
def worker(bed: Bed, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`opoi worker sink`, told to stop at the end."""
    with (folder / "sink.log").open("ab") as log:
        process = subprocess.Popen([OPOI, "worker", "sink"], env=bed.stack.env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def seconds_of(process: psutil.Process) -> float:
    """Processor seconds of a process and those below it."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def by_naive(bed: Bed) -> Run:
    """What one writes first: consume, decode, collect, insert."""
    bed.empty()
    # as the sink does: the client would import pandas at its first insert
    options.pd = None
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(plain_schema(bed.table.topic.record or ""))))
    consumer = Consumer(
        {
            "bootstrap.servers": bed.stack.settings.kafka.bootstrap_servers,
            "group.id": f"naive-{uuid4().hex}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(one.topic, one.partition, 0) for one in bed.places])
    names = [column.name for column in bed.table.landed]
    types = [column.type for column in bed.table.landed]
    batch: list[list[Any]] = []
    count, began = 0, 0.0
    while count < bed.count // NAIVE_SHARE:
        message = consumer.poll(10)
        assert message is not None, "no message comes"
        assert message.error() is None, message.error()
        began = began or time.monotonic()
        _, body = unframe(message.value())
        record = reader.read(avro.io.BinaryDecoder(io.BytesIO(body)))
        assert isinstance(record, dict)
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        stood = (message.partition(), message.offset(), at, message.key(), 0)
        batch.append([*values(bed.table.columns, record), UUID(int=1), bed.topic, *stood])
        count += 1
        if len(batch) == NAIVE_BATCH or count == bed.count // NAIVE_SHARE:
            bed.client.insert(bed.table.name, batch, column_names=names, column_type_names=types)
            consumer.commit(message=message)
            batch = []
    took = time.monotonic() - began
    consumer.close()
    assert bed.rows() == count
    return Run(count / took)


def values(columns: Any, record: Any) -> list[Any]:
    """A decoded record as the values of columns."""
    row = []
    for column in columns:
        value = record
        for name in column.path:
            value = None if value is None else value[name]
        if column.shape == "tuples":
            value = [tuple(values(column.elements, item)) for item in value or ()]
        row.append(value)
    return row


def blocks(bed: Bed, size: int) -> list[bytes]:
    """The rows of the table as the engine itself writes them."""
    names = ", ".join(f"`{column.name}`" for column in bed.table.landed)
    return [
        bed.client.raw_query(
            f"SELECT {names} FROM {bed.table.name} ORDER BY _partition, _offset LIMIT {size} OFFSET {begin}",
            fmt="Native",
        )
        for begin in range(0, bed.count, size)
    ]


def by_engine(bed: Bed, prebuilt: list[bytes]) -> Run:
    """The same rows without broker and decoding."""
    bed.empty()
    names = [column.name for column in bed.table.landed]
    began = time.monotonic()
    for block in prebuilt:
        bed.client.raw_insert(bed.table.name, names, block, fmt="Native")
    took = time.monotonic() - began
    assert bed.rows() == bed.count
    return Run(bed.count / took)
