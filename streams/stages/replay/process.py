"""The replay worker's own process: what it is made of, and how it begins and ends."""

import os
import signal
import sys
import time

import structlog
from prometheus_client import start_http_server

from agent.settings import MICROS_PER_CENT
from schemas.catalog import topics
from schemas.codec import Codec
from schemas.errors import BrokerAway, RegistryAway
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from streams.core.budgets import Allowance
from streams.runtime import logs, metrics
from streams.runtime.consumer import IntakeFailed
from streams.runtime.crash_guard import Guards
from streams.runtime.exit_codes import ExitCode, end_with_threads, fail_stop
from streams.runtime.loop_watchdog import Pulse
from streams.runtime.model_runs.in_flight import Execute
from streams.runtime.model_runs.limits import Bounds
from streams.runtime.readiness import RETRY_SECONDS, TopicsMissing, wait_for_topics
from streams.runtime.supervisor import Folders, exits
from streams.settings import Settings
from streams.stages.replay.admission import Bulletins
from streams.stages.replay.loop import ReplayWorker
from streams.stages.replay.requests import STAGE

log = structlog.get_logger(__name__)


def agent_of(settings: Settings, codec: Codec) -> Execute:
    """What runs a replay: the runtime on the settings' model, or the agent's own service."""
    from agent.http.remote import RemoteAgents
    from agent.http.serving import CannotListen
    from agent.model import GeminiModel
    from agent.replay import execute
    from agent.run import price_of
    from streams.agents.artifact_store import ArtifactStore

    model = GeminiModel(settings.model, max_attempts=settings.replay.max_attempts)
    store = ArtifactStore(settings.kafka, codec)
    remote = RemoteAgents(settings.replay)
    if settings.replay.tools_port is not None:
        # taken by somebody else, it is a fault of the settings and not of the first record
        try:
            remote.listen()
        except CannotListen as error:
            fail_stop(
                ExitCode.REFUSED, f"{error}; set OPOI_REPLAY__TOOLS_PORT to a free port, or leave it out"
            )

    def run(request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        price = price_of(settings.replay, request.target.model)
        return execute(request, decision, store, model, price=price, remote=remote)

    return run


def work_until_stopped(
    settings: Settings, folders: Folders, codec: Codec, execute: Execute, drain_seconds: float
) -> None:
    """Replays until SIGTERM or SIGINT; a fault ends the process with an `ExitCode`."""
    logs.configure(settings.log, stage=STAGE, worker=settings.worker.name)
    end_with_threads()
    _serve_metrics(settings, folders)
    guards = Guards.in_folders(folders, settings.worker)
    if guards.breaker.half_open:
        _pause(settings, folders)
    try:
        wait_for_topics(settings.kafka, _topics())
        bounds = Bounds(concurrency=settings.replay.concurrency, drain_seconds=drain_seconds)
        worker = ReplayWorker(settings.kafka, codec, execute, _bulletins(settings, codec), guards, bounds)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        pulse = Pulse(STAGE)
        pulse.start()
        left = worker.run(pulse.beat)
        pulse.stop()
    except (TopicsMissing, IntakeFailed) as error:
        fail_stop(ExitCode.REFUSED, str(error))
    except Exception as error:
        log.exception("the worker failed")
        fail_stop(ExitCode.OWN_FAULT, f"stage {STAGE} failed ({type(error).__name__}: {error})")
    if left:
        # an orderly end would tear the runs that did not end down in the middle of a call
        sys.stderr.flush()
        os._exit(0)


def _topics() -> list[str]:
    return [name for name, spec in topics().items() if STAGE in (*spec.producers, *spec.consumers)]


def _serve_metrics(settings: Settings, folders: Folders) -> None:
    for how, count in exits(folders).items():
        metrics.EXITS.labels(STAGE, how).inc(count)
    if settings.metrics.port is not None:
        start_http_server(settings.metrics.port, addr=settings.metrics.host)


def _pause(settings: Settings, folders: Folders) -> None:
    log.warning(
        "this worker was stopped because it refused most of what it saw; it waits and then tries one record",
        seconds=settings.worker.breaker_pause_seconds,
        next_step=f"look at the dead letters; delete {folders.tripped} to let records through again",
    )
    time.sleep(settings.worker.breaker_pause_seconds)


def _bulletins(settings: Settings, codec: Codec) -> Bulletins:
    """What the worker goes by beside its requests, read to its end before the first of them."""
    replay = settings.replay
    allowed = Allowance(
        attempts=replay.attempts_per_day,
        tokens=replay.tokens_per_day,
        seconds=replay.seconds_per_day,
        cost_micros=replay.cost_per_day * MICROS_PER_CENT,
    )
    bulletins = Bulletins(settings.kafka, codec, STAGE, allowed)
    while True:
        try:
            bulletins.catch_up()
        except (BrokerAway, RegistryAway) as error:
            log.warning(
                "it cannot be told yet whether replays are paused, cancelled or over budget; waiting",
                error=str(error),
            )
            time.sleep(RETRY_SECONDS)
        else:
            return bulletins
