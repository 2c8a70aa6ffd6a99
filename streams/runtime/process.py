"""The lifecycle of a worker's process, the same for every stage: logs, metrics, guards, signals, end.

A stage's `run(settings)` calls `run` with what the stage does; `opoi worker` calls it in a child process
(`streams.runtime.supervisor`).
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from schemas.log_events import WORKER_FAILED, WORKER_PAUSED, WORKER_STOPPED
from streams.runtime import logs, metrics
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.exit_codes import ExitCode, WorkerStopped, end_with_threads, fail_stop, frames, own_code
from streams.runtime.supervisor import WorkerFolders, exits
from streams.settings import LogSettings, MetricsSettings, WorkerSettings

log = structlog.get_logger(__name__)


class ProcessSettings(Protocol):
    """The settings that every worker's process needs."""

    @property
    def home(self) -> Path:
        """Folder of the stack's data."""

    @property
    def worker(self) -> WorkerSettings:
        """Name and bounds of the worker."""

    @property
    def log(self) -> LogSettings:
        """Format and level of its logs."""

    @property
    def metrics(self) -> MetricsSettings:
        """Where it serves metrics."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The process of one worker, as its stage sees it."""

    stage: str
    settings: ProcessSettings
    folders: WorkerFolders
    guards: CrashGuard

    def on_stop(self, stop: Callable[[], None]) -> None:
        """`stop` is called, from a signal handler, when the process is asked to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop())


def run(stage: str, settings: ProcessSettings, work: Callable[[WorkerProcess], bool | None]) -> NoReturn:
    """Runs `work`, then ends the process: with 0, or with the exit code of what went wrong.

    `work` returns True if threads are left that an orderly end would wait for or interrupt in a call.
    """
    logs.configure(settings.log, stage=stage, worker=settings.worker.name)
    end_with_threads()
    left, guards = False, None
    try:
        folders = WorkerFolders(settings.home, stage, settings.worker.name)
        folders.make()
        _serve_metrics(stage, folders, settings.metrics)
        guards = CrashGuard.in_folders(folders, settings.worker)
        if guards.breaker.half_open:
            _pause(folders, settings.worker)
        left = bool(work(WorkerProcess(stage, settings, folders, guards)))
    except WorkerStopped as stopped:
        fail_stop(stopped.code, f"stage {stage} stops: {stopped}")
    except Exception as error:  # noqa: BLE001  whatever it is, the process ends by it
        WORKER_FAILED.emit(log, exc_info=True)
        # with a record in hand, the text may hold what the record holds
        text = "" if guards is not None and guards.mark.is_set else f": {error}"
        fail_stop(
            own_code(error), f"stage {stage} failed ({type(error).__name__}{text})", frames=frames(error)
        )
    WORKER_STOPPED.emit(log)
    if left:
        sys.stderr.flush()
        os._exit(0)
    sys.exit(0)


def _serve_metrics(stage: str, folders: WorkerFolders, where: MetricsSettings) -> None:
    for how, count in exits(folders).items():
        metrics.EXITS.labels(stage, how).inc(count)
    if where.port is None:
        return
    from prometheus_client import start_http_server

    try:
        start_http_server(where.port, addr=where.host)
    except OSError as error:
        raise WorkerStopped(
            ExitCode.REFUSED,
            f"it cannot serve metrics on {where.host}:{where.port} ({error.strerror}): give this worker "
            "another OPOI_METRICS__PORT",
        ) from error


def _pause(folders: WorkerFolders, worker: WorkerSettings) -> None:
    WORKER_PAUSED.emit(
        log,
        seconds=worker.dlq_limit_pause_seconds,
        file=str(folders.tripped),
        next_step=WORKER_PAUSED.remedy,
    )
    time.sleep(worker.dlq_limit_pause_seconds)
