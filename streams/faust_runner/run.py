"""`run_keyed` and `run_stateless`: a pure step as a worker process."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import streams.faust_runner.safety as faust_safety  # first: it repairs Faust or refuses  # isort: skip
import faust
from aiokafka.partitioner import murmur2

from schemas.catalog import TopicSpec
from schemas.catalog import topics as catalog_topics
from schemas.record import Record
from schemas.settings import KafkaSettings
from schemas.stages import StageSpec, changelog_of, group_of, ticks_of
from schemas.stages import stages as all_stages
from streams.core.contract import KeyedStep, StatelessStep
from streams.faust_runner.app import Application, build
from streams.faust_runner.keyed import Keyed
from streams.faust_runner.runner import RunnerParts, Stage, Stateless, StepRunner
from streams.faust_runner.safety.app_settings import LEASE_SECONDS
from streams.faust_runner.safety.commits import track_offsets
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.membership_fence import MembershipFence, fence_of
from streams.faust_runner.safety.memory_bound import let_go
from streams.faust_runner.safety.offset_probe import BrokerOffsetProbe
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.faust_runner.safety.preflight import Broker, Topics, wait_until_ready
from streams.faust_runner.safety.watchdog import Watchdog, WorkerProgress
from streams.faust_runner.timers import DeadlineTimers
from streams.runtime import metrics
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.kafka_clients import aiokafka_config
from streams.runtime.outputs import Encoder, RecordCodec
from streams.runtime.process import WorkerProcess, run
from streams.settings import LogSettings, MetricsSettings, WorkerSettings

State = TypeVar("State", bound=Record)


@dataclass(frozen=True)
class StageContext:
    """What a worker runs in. `home` is the folder of the stack's data."""

    codec: RecordCodec
    kafka: KafkaSettings
    home: Path
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    topics: Mapping[str, TopicSpec] = field(default_factory=catalog_topics)
    stages: Mapping[str, StageSpec] = field(default_factory=all_stages)


def run_keyed(step: KeyedStep[State], around: StageContext) -> NoReturn:
    """Runs a keyed step until SIGTERM or SIGINT; exits with an `ExitCode`."""

    def work(process: WorkerProcess) -> None:
        base = _prepare(process, around.stages[step.stage], around)
        timers = DeadlineTimers(
            step.stage,
            around.kafka,
            base.tracker,
            base.guard,
            process.guards,
            around.worker.deadlines_per_tick,
        )
        base.on_forget.append(timers.forget)
        count = base.partitions[around.kafka.physical(changelog_of(step.stage))]
        stage = Keyed(
            step,
            base.application.table,
            around.codec,
            base.encoder,
            timers,
            lambda key: (murmur2(key) & 0x7FFFFFFF) % count,
            count,
        )
        _run(stage, base, around)

    run(step.stage, around, work)


def run_stateless(step: StatelessStep, around: StageContext) -> NoReturn:
    """Runs a step without memory; see `run_keyed`."""

    def work(process: WorkerProcess) -> None:
        base = _prepare(process, around.stages[step.stage], around)
        _run(Stateless(step, base.encoder), base, around)

    run(step.stage, around, work)


@dataclass
class _Base:
    stage: str
    sources: tuple[str, ...]
    process: WorkerProcess
    application: Application
    partitions: Mapping[str, int]
    """Of each topic, by physical name."""
    tracker: OffsetTracker
    guard: ContiguityGuard
    fence: MembershipFence
    encoder: Encoder
    progress: WorkerProgress
    on_forget: list[Callable[[], None]]


def _prepare(process: WorkerProcess, spec: StageSpec, around: StageContext) -> _Base:
    stage, sources = spec.name, spec.inputs
    partitions = _preflight(spec, around)
    left_out = faust_safety.LEFT_OUT
    physical = [around.kafka.physical(source) for source in sources]
    folder = process.folders.worker
    application = build(
        stage, physical, around.kafka, folder, around.worker.name, keyed=spec.keyed is not None
    )
    tracker = track_offsets(application.app)
    probe = _probe(stage, around)
    return _Base(
        stage,
        sources,
        process,
        application,
        partitions,
        tracker,
        ContiguityGuard(
            tracker,
            probe,
            watching="guard" not in left_out,
            fleeting=frozenset({around.kafka.physical(ticks_of(stage))}),
        ),
        fence_of(group_of(stage), float("inf") if "lease" in left_out else LEASE_SECONDS),
        Encoder(stage, around.codec, {name: around.topics[name] for name in spec.writes}),
        WorkerProgress(),
        [tracker.forget, process.guards.deaths.load],
    )


def _probe(stage: str, around: StageContext) -> BrokerOffsetProbe:
    return BrokerOffsetProbe(around.kafka.client_config(), aiokafka_config(around.kafka), group_of(stage))


def topics_of(spec: StageSpec, kafka: KafkaSettings) -> Topics:
    """The topics that a stage needs, by physical name."""
    changelog = changelog_of(spec.name) if spec.keyed else None
    others = {*spec.inputs, *spec.writes} - {*spec.together}
    return Topics(
        together=tuple(kafka.physical(name) for name in spec.together if name != changelog),
        changelog=kafka.physical(changelog) if changelog else None,
        others=tuple(sorted(kafka.physical(name) for name in others)),
    )


def _preflight(spec: StageSpec, around: StageContext) -> Mapping[str, int]:
    """The partitions of each topic of the stage, by physical name."""
    broker = Broker(around.kafka.client_config())
    if "preflight" in faust_safety.LEFT_OUT:
        return broker.partition_counts()
    return wait_until_ready(topics_of(spec, around.kafka), broker)


def _run(stage: Stage, base: _Base, around: StageContext) -> None:
    app, worker = base.application.app, around.worker
    logical = {around.kafka.physical(source): source for source in base.sources}
    runner = StepRunner(
        stage,
        RunnerParts(
            app=app,
            kafka=around.kafka,
            codec=around.codec,
            encoder=base.encoder,
            tracker=base.tracker,
            guard=base.guard,
            fence=base.fence,
            guards=base.process.guards,
            letters=DeadLetters(base.stage, around.topics),
            progress=base.progress,
            logical=logical,
        ),
    )
    _follow_the_assignment(base, set(logical))

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await runner.handle(event.message)
            let_go(event)

    app.agent(base.application.inbox, name=base.stage, concurrency=1)(agent)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if "watchdog" not in faust_safety.LEFT_OUT:
        Watchdog(
            base.progress,
            _probe(base.stage, around),
            frozenset(Source(topic, each) for topic in logical for each in range(base.partitions[topic])),
            worker.watchdog_seconds,
            loop=loop,
            restored=lambda: _restored(app),
        ).start()
    process = faust.Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    process.spinner = None
    process.execute_from_commandline()


def _restored(app: Any) -> int:
    return sum(offset or 0 for offset in list(app.tables.recovery.active_offsets.values()))


def _follow_the_assignment(base: _Base, sources: set[str]) -> None:
    app = base.application.app

    def forget() -> None:
        for action in base.on_forget:
            action()
        base.fence.renew()

    async def revoked(_: Any, partitions: Any, **__: Any) -> None:
        forget()
        base.progress.revoked()

    async def assigned(_: Any, partitions: Any, **__: Any) -> None:
        forget()
        base.progress.assigned(frozenset(Source(*each) for each in partitions if each.topic in sources))
        metrics.ASSIGNED_PARTITIONS.labels(base.stage).set(len(base.progress.sources))

    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
