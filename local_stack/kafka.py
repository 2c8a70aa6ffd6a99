"""One Kafka node in KRaft mode: properties, commands, and a single broker for tests and benchmarks."""

import base64
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local_stack import start_cache
from local_stack.downloads import KAFKA, cache_folder, fetch
from local_stack.java import JAVA_OPTIONS, find_java
from local_stack.ports import free_port
from local_stack.progress import Progress, Silent
from schemas.child_environment import SYSTEM, kept
from schemas.settings import KafkaSettings
from streams.errors import UserError
from streams.health.probes import broker_answers

MEBIBYTE = 1024 * 1024


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """`server.properties` of one node with its data in `data`, on 127.0.0.1 only."""
    properties: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # one node holds one copy
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 4,
        # the partitions of a killed worker are free again in seconds
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "group.consumer.min.session.timeout.ms": 5_000,
        "group.consumer.session.timeout.ms": 10_000,
        "group.consumer.min.heartbeat.interval.ms": 500,
        "group.consumer.heartbeat.interval.ms": 2_000,
        # dead letters carry 5 MiB of value and their headers
        "message.max.bytes": 6 * MEBIBYTE,
        "replica.fetch.max.bytes": 6 * MEBIBYTE,
        # after a crash the node cannot register again before its old session ends
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3_000,
        # bounds the disk: per partition, unless the topic sets its own
        "log.segment.bytes": 32 * MEBIBYTE,
        "log.retention.bytes": 256 * MEBIBYTE,
        "log.retention.hours": 7 * 24,
        "log.index.size.max.bytes": MEBIBYTE // 2,
        "log.cleaner.dedupe.buffer.size": 16 * MEBIBYTE,
        "metadata.log.segment.bytes": 16 * MEBIBYTE,
        "metadata.max.retention.bytes": 64 * MEBIBYTE,
        "metadata.log.max.record.bytes.between.snapshots": 4 * MEBIBYTE,
        # small machine
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def start_command(java: Path, jars: Path, properties: Path, options: Sequence[str] = ()) -> list[str]:
    """The command that runs the broker in the foreground; its log goes to stderr."""
    return [
        str(java),
        *options,
        "-Xms64m",
        "-Xmx512m",
        *JAVA_OPTIONS,
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "-Dorg.slf4j.simpleLogger.showThreadName=false",
        # a line for each partition at each start would hide the rest
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.log=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.cluster=warn",
        "-Dorg.slf4j.simpleLogger.log.state.change.logger=warn",
        "-cp",
        f"{jars}/*",
        "kafka.Kafka",
        str(properties),
    ]


def format_command(
    java: Path, jars: Path, properties: Path, cluster_id: str, options: Sequence[str] = ()
) -> list[str]:
    """The command that formats an empty data folder; needed once, see `is_formatted`."""
    return [
        *(str(java), *options, *JAVA_OPTIONS, "-cp", f"{jars}/*"),
        *("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)),
    ]


def is_formatted(data: Path) -> bool:
    """Whether the data folder was formatted, by this or an earlier start."""
    return (data / "meta.properties").is_file()


def new_cluster_id() -> str:
    """A random id in Kafka's form: a UUID as 22 characters of URL-safe base64, `-` never the first."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes)).startswith(b"-"):
        # Kafka's tools would read it as an option
        continue
    return made.rstrip(b"=").decode()


def prepare(
    folder: Path, java: Path, jars: Path, port: int, controller_port: int, options: Sequence[str] = ()
) -> list[str]:
    """Write the properties into `folder`, format its data folder once; the command that starts the broker.

    `options` go to Java. Raises `UserError` if the folder cannot be formatted.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(server_properties(data, port, controller_port))
    if not is_formatted(data):
        command = format_command(java, jars, properties, new_cluster_id(), options)
        done = subprocess.run(command, capture_output=True, text=True, env=kept(SYSTEM))
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise UserError(f"Kafka cannot prepare {data}: {' '.join(reason)}", exit_code=1)
    return start_command(java, jars, properties, options)


def quick_start(java: Path, jars: Path, cache: Path, progress: Progress) -> tuple[str, ...]:
    """Options of Java for a quick start of the broker."""

    def trial(folder: Path) -> start_cache.Trial:
        port = free_port()
        command = prepare(folder, java, jars, port, free_port())
        return start_cache.Trial(command, lambda: answers(f"127.0.0.1:{port}"))

    return start_cache.options(KAFKA.title, jars, java, cache, trial, progress)


def answers(bootstrap: str) -> bool:
    """Whether a broker at `bootstrap` (one host:port) answers a metadata request now."""
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return broker_answers(KafkaSettings(bootstrap_servers=bootstrap), timeout=1)


class Broker:
    """A broker for tests and benchmarks: `with Broker(folder, 21000, 21001) as broker: broker.bootstrap`.

    Data stays in `folder`, so the same folder can be started again.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        *,
        java: Path | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.folder = folder
        self.bootstrap = f"127.0.0.1:{port}"
        self.log = folder / "kafka.log"
        progress = progress or Silent()
        runtime = find_java(java)
        jars = fetch(KAFKA, cache_folder(cache), progress)
        options = quick_start(runtime, jars, cache_folder(cache), progress)
        self._command = prepare(folder, runtime, jars, port, controller_port, options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 60) -> None:
        """Start the broker and wait, at most `timeout` seconds, until it answers.

        Raises `UserError` with the end of its log if it does not.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=kept(SYSTEM),
            )
        deadline = time.monotonic() + timeout
        while not answers(self.bootstrap):
            time.sleep(0.05)
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self.log.read_text(errors="replace").splitlines()[-20:]
                raise UserError(
                    "\n".join([f"the broker at {self.bootstrap} did not start:", *tail]), exit_code=1
                )

    def stop(self, timeout: float = 30) -> None:
        """Stop the broker in order; kill it after `timeout` seconds."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End the broker as a crash does (SIGKILL)."""
        self._end(signal.SIGKILL, 30)

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): it exists and does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a frozen broker."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the broker in order and start it again."""
        self.stop()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _end(self, number: signal.Signals, timeout: float) -> None:
        if self._process is None:
            return
        self._signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
