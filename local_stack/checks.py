"""Checks of `opoi doctor` on one machine, besides those of the pipeline."""

import shutil
from collections.abc import Callable, Iterator
from functools import cached_property

from local_stack import ports
from local_stack.downloads import KAFKA, REGISTRY, cache_folder
from local_stack.home import LEAST_FREE, MEBIBYTE, Home
from local_stack.java import find_java, java_version
from local_stack.processes import BASE, WORKERS, metrics_ports
from local_stack.supervise import EXIT_MINUTES, State, Supervisor, last_line, recent_exits
from streams.errors import UserError
from streams.health.checks import PIPELINE, Finding, Pipeline, fault, ok, skipped
from streams.health.probes import unreachable
from streams.settings import Settings

LONGEST_LINE = 300
LOOP = 3
"""Exits in ten minutes that make a process a fault, even if it is up now."""


class Scene(Pipeline):
    """State of the machine for its checks; each part is read once, when a check first needs it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.home = Home(settings.home)

    @cached_property
    def states(self) -> dict[str, State] | None:
        """The stack's processes by name; None if no stack runs."""
        supervisor = Supervisor(self.home)
        if not self.home.folder.is_dir() or not supervisor.is_alive():
            return None
        return {state.name: state for state in supervisor.states()}

    @cached_property
    def is_local(self) -> bool:
        """Whether the settings lead to this machine's stack."""
        local = f"127.0.0.1:{self.settings.local.kafka_port}"
        return self.settings.kafka.bootstrap_servers == local


def java(scene: Scene) -> Iterator[Finding]:
    """A Java runtime exists, for a local broker and registry."""
    if not scene.is_local:
        yield skipped("java", "the broker is not on this machine")
        return
    try:
        found = find_java(scene.settings.java)
    except UserError as error:
        yield fault("java", error.message, "install a runtime or set OPOI_JAVA")
        return
    yield ok("java", f"Java {java_version(found)} at {found}")


def downloads(scene: Scene) -> Iterator[Finding]:
    """Kafka and the registry are downloaded."""
    if not scene.is_local:
        yield skipped("downloads", "the broker is not on this machine")
        return
    cache = cache_folder(scene.settings.cache)
    missing = [artifact.title for artifact in (KAFKA, REGISTRY) if not (cache / artifact.folder).is_dir()]
    if missing:
        yield fault("downloads", f"{' and '.join(missing)} not in {cache}", "run `opoi up` with a network")
    else:
        yield ok("downloads", f"Kafka and the registry are in {cache}")


def disk(scene: Scene) -> Iterator[Finding]:
    """The disk has room for more data."""
    folder = next(place for place in (scene.home.folder, *scene.home.folder.parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    message = f"{free // MEBIBYTE} MiB free at {folder}"
    if free < LEAST_FREE:
        yield fault(
            "disk", message, f"free at least {LEAST_FREE // MEBIBYTE} MiB: the broker stops on a full disk"
        )
    else:
        yield ok("disk", message)


def taken_ports(scene: Scene) -> Iterator[Finding]:
    """No other process holds a port of the stack."""
    if not scene.is_local:
        yield skipped("ports", "the broker is not on this machine")
        return
    pids = {name: state.pid for name, state in (scene.states or {}).items()}
    faults = 0
    for setting in ports.PORTS:
        part = setting.removesuffix("_port")
        owner = "kafka" if part == "controller" else part
        port = getattr(scene.settings.local, setting)
        # the board and the metrics are served by other processes
        if owner in BASE and ports.in_use(port) and not ports.is_held_by(port, pids.get(owner)):
            faults += 1
            message = f"port {port} of {part} is held by {ports.holder(port)}"
            yield fault("ports", message, f"stop that or set {ports.variable(setting)}")
    if not faults:
        yield ok("ports", "no other process holds a port of the stack")


def processes(scene: Scene) -> Iterator[Finding]:
    """The services that the workers need run."""
    if not scene.is_local:
        yield skipped("processes", "the broker is not on this machine")
    elif scene.states is None:
        yield fault("processes", f"the stack at {scene.home.folder} is not running", "run `opoi up`")
    else:
        yield from _running(scene, "processes", [name for name in BASE if name in scene.states])


def workers(scene: Scene) -> Iterator[Finding]:
    """The stages run."""
    if scene.states is None:
        yield skipped("workers", "no stack runs here")
        return
    names = [name for name in WORKERS if name in scene.states]
    if all(scene.states[name].never_started for name in names):
        yield skipped("workers", "no worker runs: none was started (`--no-workers`); `opoi up` starts them")
    else:
        yield from _running(scene, "workers", names)


def replays(scene: Scene) -> Iterator[Finding]:
    """Every service that replays need is reachable."""
    if scene.states is None:
        yield skipped("replays", "no stack runs here")
        return
    found = unreachable(metrics_ports(scene.settings.local)["replay"])
    for what in found:
        message = f"{what} is unreachable, and the replays that need it wait"
        yield fault("replays", message, "see `opoi logs replay` for the reason, and restore it")
    if not found:
        yield ok("replays", "every service that they need is reachable")


CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    java,
    downloads,
    disk,
    taken_ports,
    processes,
    *PIPELINE,
    workers,
    replays,
)


def run(settings: Settings) -> list[Finding]:
    """All checks in order."""
    scene = Scene(settings)
    return [finding for check in CHECKS for finding in check(scene)]


def _running(scene: Scene, check: str, names: list[str]) -> Iterator[Finding]:
    assert scene.states is not None
    exits = recent_exits(scene.home)
    faults = 0
    for state in (scene.states[name] for name in names):
        stays = state.state in ("RUNNING", "STARTING")
        if stays and exits[state.name] < LOOP:
            continue
        faults += 1
        count = f"ended by itself {exits[state.name]} times in {EXIT_MINUTES} minutes"
        message = f"{state.name} is {state.state.lower()} and {count}; its log ends: "
        remedy = f"see `opoi logs {state.name}`" + ("" if stays else "; `opoi up` starts it")
        yield fault(check, message + last_line(scene.home.log(state.name))[:LONGEST_LINE], remedy)
    if not faults:
        again = [name for name in names if exits[name]]
        note = f"; {', '.join(again)} ended and restarted in the last {EXIT_MINUTES} minutes" if again else ""
        yield ok(check, f"{', '.join(names)} run{note}")
