"""`run_keyed` and `run_stateless`: a pure step as a worker process."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import streams.faust_runner.safety as faust_safety  # first: it repairs Faust or refuses  # isort: skip
import faust
import structlog
from aiokafka.partitioner import murmur2

from schemas.catalog import TopicSpec
from schemas.catalog import topics as catalog_topics
from schemas.record import Record
from schemas.settings import KafkaSettings
from streams.core.contract import KeyedStep, StatelessStep
from streams.core.topic_names import RETRY, TICKS
from streams.faust_runner.app import Application, aiokafka_config, build, changelog_of, group_of
from streams.faust_runner.keyed import Keyed
from streams.faust_runner.runner import Parts, Shell, Stage, Stateless
from streams.faust_runner.safety.app_settings import LEASE_SECONDS
from streams.faust_runner.safety.commits import keep_ledger
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.membership_fence import Lease, lease_of
from streams.faust_runner.safety.memory_bound import let_go
from streams.faust_runner.safety.offset_probe import BrokerWitness
from streams.faust_runner.safety.offset_tracker import Ledger, Source
from streams.faust_runner.safety.preflight import Broker, NotReady, Topics, wait_until_ready
from streams.faust_runner.safety.watchdog import Pulse, Watchdog
from streams.faust_runner.timers import Clock
from streams.runtime import logs, metrics
from streams.runtime.crash_marker import Deaths, Mark
from streams.runtime.dlq_limit import Breaker
from streams.runtime.exit_codes import ExitCode, end_with_threads, fail_stop
from streams.runtime.outputs import Encoder, RecordCodec
from streams.runtime.supervisor import Folders, exits
from streams.settings import LogSettings, WorkerSettings

State = TypeVar("State", bound=Record)
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a worker runs in. `home` is the folder of the stack's data."""

    codec: RecordCodec
    kafka: KafkaSettings
    home: Path
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics_address: tuple[str, int] | None = None
    topics: Mapping[str, TopicSpec] = field(default_factory=catalog_topics)


def run_keyed(step: KeyedStep[State], around: Surroundings) -> NoReturn:
    """Runs a keyed step until the process is told to stop; exits with an `ExitCode`."""
    sources = (*step.sources, RETRY + step.stage, TICKS + step.stage)
    base = _prepare(step.stage, sources, around, keyed=True)
    clock = Clock(
        step.stage,
        around.kafka,
        base.ledger,
        base.guard,
        base.mark,
        base.deaths,
        around.worker.deaths_allowed,
        around.worker.deadlines_per_tick,
    )
    base.on_forget.append(clock.forget)
    count = base.partitions
    stage = Keyed(
        step,
        base.application.table,
        around.codec,
        base.encoder,
        clock,
        lambda key: (murmur2(key) & 0x7FFFFFFF) % count,
        count,
    )
    _run(stage, base, around)


def run_stateless(step: StatelessStep, around: Surroundings) -> NoReturn:
    """Runs a step without memory; see `run_keyed`."""
    base = _prepare(step.stage, (*step.sources, RETRY + step.stage), around, keyed=False)
    _run(Stateless(step, base.encoder), base, around)


@dataclass
class _Base:
    stage: str
    sources: tuple[str, ...]
    folders: Folders
    application: Application
    partitions: int
    ledger: Ledger
    guard: ContiguityGuard
    lease: Lease
    mark: Mark
    deaths: Deaths
    encoder: Encoder
    pulse: Pulse
    on_forget: list[Callable[[], None]]


def _prepare(stage: str, sources: tuple[str, ...], around: Surroundings, *, keyed: bool) -> _Base:
    folders = Folders(around.home, stage, around.worker.name)
    folders.worker.mkdir(parents=True, exist_ok=True)
    logs.configure(around.log, stage=stage, worker=around.worker.name)
    end_with_threads()
    _serve_metrics(stage, folders, around)
    if folders.tripped.exists():
        _pause(folders, around)
    partitions = _preflight(stage, sources, around, keyed=keyed)
    left_out = faust_safety.LEFT_OUT
    physical = [around.kafka.physical(source) for source in sources]
    application = build(stage, physical, around.kafka, folders.worker, around.worker.name, keyed=keyed)
    ledger = keep_ledger(application.app)
    witness = _witness(stage, around)
    deaths = Deaths(folders.deaths)
    deaths.load()
    return _Base(
        stage,
        sources,
        folders,
        application,
        partitions,
        ledger,
        ContiguityGuard(
            ledger,
            witness,
            watching="guard" not in left_out,
            fleeting=frozenset({around.kafka.physical(TICKS + stage)}),
        ),
        lease_of(group_of(stage), float("inf") if "lease" in left_out else LEASE_SECONDS),
        Mark(folders.mark),
        deaths,
        Encoder(stage, around.codec, around.topics),
        Pulse(),
        [ledger.forget, deaths.load],
    )


def _witness(stage: str, around: Surroundings) -> BrokerWitness:
    return BrokerWitness(around.kafka.client_config(), aiokafka_config(around.kafka), group_of(stage))


def _preflight(stage: str, sources: tuple[str, ...], around: Surroundings, *, keyed: bool) -> int:
    written = [
        name
        for name, spec in around.topics.items()
        if stage in spec.producers and name not in (*sources, changelog_of(stage))
    ]
    physical = around.kafka.physical
    alike = [*sources, *(name for name in written if around.topics[name].partitions is None)]
    wanted = Topics(
        together=tuple(dict.fromkeys(physical(name) for name in alike)),
        changelog=physical(changelog_of(stage)) if keyed else None,
        others=tuple(physical(name) for name in written if around.topics[name].partitions is not None),
    )
    broker = Broker(around.kafka.client_config())
    if "preflight" in faust_safety.LEFT_OUT:
        return broker.partition_counts()[wanted.together[0]]
    try:
        return wait_until_ready(wanted, broker)
    except NotReady as error:
        fail_stop(ExitCode.REFUSED, f"stage {stage} cannot start: {error}")


def _serve_metrics(stage: str, folders: Folders, around: Surroundings) -> None:
    for how, count in exits(folders).items():
        metrics.EXITS.labels(stage, how).inc(count)
    if around.metrics_address is not None:
        from prometheus_client import start_http_server

        host, port = around.metrics_address
        try:
            start_http_server(port, addr=host)
        except OSError as error:
            fail_stop(
                ExitCode.REFUSED,
                f"stage {stage} cannot serve metrics on {host}:{port} ({error.strerror}): give this worker "
                "another OPOI_METRICS__PORT",
            )


def _pause(folders: Folders, around: Surroundings) -> None:
    import time

    log.warning(
        "this worker was stopped because it refused most of what it saw; it waits and then tries one record",
        seconds=around.worker.breaker_pause_seconds,
        file=str(folders.tripped),
        next_step="look at the dead letters; delete the file to let records through again",
    )
    time.sleep(around.worker.breaker_pause_seconds)


def _run(stage: Stage, base: _Base, around: Surroundings) -> NoReturn:
    app, worker = base.application.app, around.worker
    logical = {around.kafka.physical(source): source for source in base.sources}
    shell = Shell(
        stage,
        Parts(
            app=app,
            kafka=around.kafka,
            codec=around.codec,
            encoder=base.encoder,
            ledger=base.ledger,
            guard=base.guard,
            lease=base.lease,
            mark=base.mark,
            deaths=base.deaths,
            deaths_allowed=worker.deaths_allowed,
            breaker=Breaker(
                base.folders.tripped,
                run=worker.breaker_run,
                share=worker.breaker_share,
                window=worker.breaker_window,
            ),
            pulse=base.pulse,
            logical=logical,
        ),
    )
    _follow_the_assignment(base, set(logical))

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await shell.handle(event.message)
            let_go(event)

    app.agent(base.application.inbox, name=base.stage, concurrency=1)(agent)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if "watchdog" not in faust_safety.LEFT_OUT:
        Watchdog(
            base.pulse,
            _witness(base.stage, around),
            frozenset(Source(topic, each) for topic in logical for each in range(base.partitions)),
            worker.watchdog_seconds,
            loop=loop,
            restored=lambda: _restored(app),
        ).start()
    process = faust.Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    process.spinner = None
    process.execute_from_commandline()
    sys.exit(0)


def _restored(app: Any) -> int:
    return sum(offset or 0 for offset in list(app.tables.recovery.active_offsets.values()))


def _follow_the_assignment(base: _Base, sources: set[str]) -> None:
    app = base.application.app

    def forget() -> None:
        for action in base.on_forget:
            action()
        base.lease.renew()

    async def revoked(_: Any, partitions: Any, **__: Any) -> None:
        forget()
        base.pulse.revoked()

    async def assigned(_: Any, partitions: Any, **__: Any) -> None:
        forget()
        base.pulse.assigned(frozenset(Source(*each) for each in partitions if each.topic in sources))
        metrics.ASSIGNED_PARTITIONS.labels(base.stage).set(len(base.pulse.sources))

    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
