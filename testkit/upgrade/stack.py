"""A one-machine stack of some release, driven as its users do: commands, topics, tables, files.

Nothing of the release is imported, so that one tool serves all of them.
"""

import configparser
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

import clickhouse_connect
import psutil
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from dotenv import dotenv_values

PATIENCE_SECONDS = 180
KEPT = {"OPOI_JAVA", "OPOI_CACHE", "OPOI_MAVEN_URL"}
"""Variables of the user that only say where downloads are."""
WORKERS = ("ticker", "join", "trigger", "replay", "sanitize", "sink")


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Stack:
    """The stack at `home`, run by the command `opoi`; `settings` are variables of its processes."""

    def __init__(self, home: Path, opoi: Path, settings: dict[str, str]) -> None:
        self.home = home
        self.settings = settings
        self._opoi = opoi

    def opoi(self, *words: str) -> str:
        """What a command prints. Raises AssertionError with what it says where it fails."""
        environment = {name: value for name, value in os.environ.items() if not _leads_elsewhere(name)}
        done = subprocess.run(
            [self._opoi, *words],
            env={**environment, **self.settings, "OPOI_HOME": str(self.home)},
            # its workers take modules from here first: no checkout
            cwd=self.home.parent,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"opoi {' '.join(words)}: {done.stderr[-3000:]}"
        return done.stdout

    def pid(self, name: str) -> int | None:
        """The process of the stack that the supervisor started under this name."""
        found = json.loads(self.opoi("status", "--json"))["processes"]
        pid: int | None = next(one["pid"] for one in found if one["name"] == name)
        return pid

    def child(self, name: str) -> psutil.Process | None:
        """The process that does a worker's work, below the one that keeps it."""
        pid = self.pid(name)
        try:
            return next(iter(psutil.Process(pid).children()), None) if pid else None
        except psutil.NoSuchProcess:
            return None

    def stop(self, *names: str) -> None:
        """Stops processes in order and waits for their end."""
        self._control("stop", *names)

    def start(self, *names: str) -> None:
        """Starts processes again."""
        self._control("start", *names)

    def _control(self, *words: str) -> None:
        run = configparser.RawConfigParser()
        run.read(self.home / "run" / "supervisord.conf")
        socket = run["unix_http_server"]["file"]
        command = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-s", f"unix://{socket}", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def variable(self, name: str) -> str:
        """What `stack.env` says."""
        value = dotenv_values(self.home / "stack.env")[name]
        assert value is not None
        return value

    def state(self, stage: str) -> Path:
        """Where the stage's only worker keeps its files."""
        return self.home / "state" / stage / "1"

    def exits(self, stage: str) -> dict[str, int]:
        """How often the stage's worker ended in which way."""
        file = self.state(stage) / "exits.json"
        found: dict[str, int] = json.loads(file.read_text()) if file.is_file() else {}
        return found

    def until(self, wanted: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until `wanted` holds. Raises AssertionError with the ends of the workers' logs."""
        give_up = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < give_up, f"{what}: not within {seconds:g} s\n{self.said()}"
            time.sleep(0.2)

    def said(self) -> str:
        """The ends of the workers' logs."""
        logs = {name: self.home / "logs" / f"{name}.log" for name in WORKERS}
        return "\n".join(
            f"{name}: {line[:300]}"
            for name, log in logs.items()
            if log.is_file()
            for line in log.read_text(errors="replace").splitlines()[-6:]
        )

    # the broker

    @property
    def bootstrap(self) -> str:
        """Where the broker listens."""
        return self.variable("OPOI_KAFKA__BOOTSTRAP_SERVERS")

    @cached_property
    def admin(self) -> AdminClient:
        """An admin client."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def topics(self) -> dict[str, int]:
        """Partition counts of all topics but the broker's own."""
        found = self.admin.list_topics(timeout=30).topics
        return {name: len(one.partitions) for name, one in sorted(found.items()) if not name.startswith("__")}

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """First offset and end of each partition."""
        consumer = self._consumer()
        try:
            return {
                partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
                for partition in range(self.topics()[topic])
            }
        finally:
            consumer.close()

    def end(self, topic: str) -> int:
        """All ends of a topic together."""
        return sum(end for _, end in self.bounds(topic).values())

    def read(self, topic: str) -> Iterator[Message]:
        """All that stands in a topic now."""
        bounds = self.bounds(topic)
        consumer = self._consumer()
        try:
            places = [
                TopicPartition(topic, each, first) for each, (first, end) in bounds.items() if end > first
            ]
            consumer.assign(places)
            give_up = time.monotonic() + PATIENCE_SECONDS
            while any(at.offset < bounds[at.partition][1] for at in consumer.position(places)):
                for message in consumer.consume(500, 0.2):
                    assert message.error() is None, message.error()
                    yield message
                assert time.monotonic() < give_up, f"{topic} was not read to its end"
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "upgrade-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )

    def send(self, records: Iterable[tuple[str, str | bytes, bytes]], **more: Any) -> list[Place]:
        """Sends (topic, key, value), with `more` for `Producer.produce`; where the broker put them."""
        put: list[Place] = []
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "acks": "all",
                "log_level": 0,
            }
        )

        def delivered(error: object, message: Message) -> None:
            assert error is None, error
            put.append(place(message))

        for topic, key, value in records:
            producer.produce(topic, value, key, on_delivery=delivered, **more)
            assert producer.flush(60) == 0
        return put

    def committed(self) -> dict[str, dict[str, dict[str, int]]]:
        """Committed offsets by group, topic and partition."""
        groups = sorted(one.group_id for one in self.admin.list_consumer_groups().result().valid)
        found: dict[str, dict[str, dict[str, int]]] = {}
        for group in groups:
            # the client takes one group a request
            [answer] = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
            for one in answer.result().topic_partitions or []:
                if one.offset >= 0:
                    found.setdefault(group, {}).setdefault(one.topic, {})[str(one.partition)] = one.offset
        return found

    # the registry and the tables

    def registry(self, path: str) -> Any:
        """What the registry answers."""
        with urlopen(f"{self.variable('OPOI_REGISTRY__URL')}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    @cached_property
    def tables(self) -> Client:
        """A client of ClickHouse."""
        url = urlsplit(self.variable("OPOI_CLICKHOUSE__URL"))
        return clickhouse_connect.get_client(
            host=url.hostname, port=url.port or 0, database="opoi", autogenerate_session_id=False
        )

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.tables.query(sql, parameters=parameters).result_rows]


def place(message: Message) -> Place:
    """Where a record stands."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Place(topic, partition, offset)


def as_bytes(value: str | bytes | None) -> bytes:
    """A key or value; empty where there is none."""
    return value.encode() if isinstance(value, str) else value or b""


def _leads_elsewhere(name: str) -> bool:
    return name == "PYTHONPATH" or (name.upper().startswith("OPOI_") and name.upper() not in KEPT)
