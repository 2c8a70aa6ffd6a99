"""The replay worker as a process."""

import time
from typing import NoReturn

import structlog

from agent.settings import MICROS_PER_CENT
from schemas.codec import Codec
from schemas.errors import BrokerAway, RegistryAway
from schemas.log_events import BROKER_UNREACHABLE, REGISTRY_UNREACHABLE
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from schemas.registry import make_codec
from schemas.stages import stage
from streams.core.budgets import Allowance
from streams.runtime import process
from streams.runtime.exit_codes import Refused
from streams.runtime.loop_watchdog import LoopWatchdog
from streams.runtime.model_runs.in_flight import Execute
from streams.runtime.model_runs.limits import RunLimits
from streams.runtime.process import WorkerProcess
from streams.runtime.readiness import RETRY_SECONDS, wait_for_topics
from streams.runtime.throttled_log import ThrottledLog
from streams.settings import Settings
from streams.stages.replay.admission import Admission
from streams.stages.replay.loop import ReplayWorker
from streams.stages.replay.requests import STAGE

BEYOND_DRAINING = 7.0
"""Seconds that a stopping worker needs after its runs: to publish, to commit, to leave the group."""

log = structlog.get_logger(__name__)


def run(settings: Settings) -> NoReturn:
    """Replays until SIGTERM or SIGINT; exits with an `ExitCode`."""
    codec = make_codec(settings)
    process.run(STAGE, settings, lambda worker: work(worker, settings, codec, agent_of(settings, codec)))


def work(worker: WorkerProcess, settings: Settings, codec: Codec, execute: Execute) -> bool:
    """Replays until the process is asked to stop. Returns whether a run did not end in time.

    Raises WorkerStopped.
    """
    wait_for_topics(settings.kafka, _topics())
    drain_seconds = max(1.0, settings.worker.stop_seconds - BEYOND_DRAINING)
    bounds = RunLimits(concurrency=settings.replay.concurrency, drain_seconds=drain_seconds)
    loop = ReplayWorker(settings.kafka, codec, execute, _admission(settings, codec), worker.guards, bounds)
    worker.on_stop(loop.stop)
    watchdog = LoopWatchdog(STAGE)
    watchdog.start()
    left = loop.run(watchdog.reset)
    watchdog.stop()
    return bool(left)


def agent_of(settings: Settings, codec: Codec) -> Execute:
    """The function that runs a replay, in this process or at the agent's own service. Raises Refused."""
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
        # a port in use is a fault of the settings, not of the first record
        try:
            remote.listen()
        except CannotListen as error:
            raise Refused(f"{error}; set OPOI_REPLAY__TOOLS_PORT to a free port, or leave it out") from error

    def run(request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        price = price_of(settings.replay, request.target.model)
        return execute(request, decision, store, model, price=price, remote=remote)

    return run


def _topics() -> list[str]:
    spec = stage(STAGE)
    return [*dict.fromkeys((*spec.reads, *spec.writes))]


def _admission(settings: Settings, codec: Codec) -> Admission:
    """The side inputs of the worker, read to their end before the first request."""
    replay = settings.replay
    allowed = Allowance(
        attempts=replay.attempts_per_day,
        tokens=replay.tokens_per_day,
        seconds=replay.seconds_per_day,
        cost_micros=replay.cost_per_day * MICROS_PER_CENT,
    )
    admission = Admission(settings.kafka, codec, STAGE, allowed)
    waiting = ThrottledLog(log)
    while True:
        try:
            admission.catch_up()
        except (BrokerAway, RegistryAway) as error:
            broker = isinstance(error, BrokerAway)
            waiting.emit(BROKER_UNREACHABLE if broker else REGISTRY_UNREACHABLE, error=str(error))
            time.sleep(RETRY_SECONDS)
        else:
            return admission
