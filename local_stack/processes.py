"""The processes of a one-machine stack: one table."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from local_stack import kafka, registry
from local_stack.environments import environments
from local_stack.home import Home
from schemas import child_environment
from schemas.stages import stages
from streams.health.probes import answers_http, listening
from streams.settings import LocalSettings, Settings

PYTHON = (sys.executable, "-P")
"""How a Python child is started: a user's own `agent/` or `streams/` in the working folder is ignored."""
BASE = ("kafka", "registry", "clickhouse", "model", "ads")
"""The services that the workers need."""
WORKERS = tuple(sorted(stages(), key=lambda name: stages()[name].metrics_slot))
"""Stages of `opoi worker STAGE` that a stack runs, in the order of their metrics ports."""
KILL_SECONDS = 3
"""Seconds that a worker's parent has to end, after it killed the worker."""


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised process.

    `ready` asks the process itself. Lower priorities start first and stop last. `stop_seconds`: how
    long an orderly end may take.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    priority: int = 50
    stop_seconds: int = 20
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_worker(self) -> bool:
        """Whether it is a stage of the pipeline."""
        return self.name in WORKERS


@dataclass(frozen=True, slots=True)
class Runtime:
    """Paths of the Java runtime, Kafka's jars and the unpacked registry; Java's options for each."""

    java: Path
    kafka: Path
    registry: Path
    kafka_options: tuple[str, ...] = ()
    registry_options: tuple[str, ...] = ()


def table(settings: Settings, home: Home, runtime: Runtime) -> tuple[Process, ...]:
    """All processes, in the order of their dependencies."""
    local = settings.local
    processes = [
        Process(
            name="kafka",
            command=tuple(
                kafka.start_command(
                    runtime.java,
                    runtime.kafka,
                    home.part("kafka") / "server.properties",
                    runtime.kafka_options,
                )
            ),
            ready=lambda: kafka.answers(f"127.0.0.1:{local.kafka_port}"),
            priority=10,
            stop_seconds=60,
        ),
        Process(
            name="registry",
            command=registry.command(
                runtime.java,
                runtime.registry,
                home.part("registry"),
                local.registry_port,
                runtime.registry_options,
            ),
            ready=lambda: registry.answers(local.registry_port),
            priority=10,
        ),
        Process(
            name="clickhouse",
            command=(
                *(*PYTHON, "-m", "local_stack.clickhouse.front", "--data", str(home.part("clickhouse"))),
                *("--port", str(local.clickhouse_port), "--database", settings.clickhouse.database),
                *("--query-seconds", str(settings.clickhouse.timeout_seconds)),
            ),
            ready=lambda: answers_http(f"http://127.0.0.1:{local.clickhouse_port}/ping"),
            priority=10,
        ),
    ]
    for name, port in (("model", local.model_port), ("ads", local.ads_port)):
        if _exists(f"local_stack.{name}"):
            command = (*PYTHON, "-m", f"local_stack.{name}", "--port", str(port))
            processes.append(Process(name, command, listening(port), priority=20))
    for stage, port in metrics_ports(local).items():
        processes.append(
            Process(
                name=stage,
                command=(*PYTHON, "-m", "streams.cli.main", "worker", stage),
                ready=listening(port),
                priority=30,
                stop_seconds=math.ceil(settings.worker.stop_seconds) + KILL_SECONDS,
                environment={"OPOI_METRICS__PORT": str(port)},
            )
        )
    return tuple(
        replace(process, command=(*child_environment.command(environments()[process.name]), *process.command))
        for process in processes
    )


def metrics_ports(local: LocalSettings) -> dict[str, int]:
    """The metrics port of each worker."""
    return {name: local.metrics_port + stages()[name].metrics_slot for name in WORKERS}


def _exists(package: str) -> bool:
    return find_spec(package) is not None and find_spec(f"{package}.__main__") is not None
