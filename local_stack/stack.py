"""The one-machine stack as a whole: up, down, reset."""

import fcntl
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import kafka, orphans, ports, registry
from local_stack.downloads import KAFKA, REGISTRY, cache_folder, fetch
from local_stack.home import Home
from local_stack.java import find_java
from local_stack.processes import BASE, WORKERS, Process, Runtime, table
from local_stack.progress import Progress
from local_stack.reference_agent import register_media_buyer
from local_stack.supervise import Supervisor, config, tail
from streams.bootstrap import bootstrap
from streams.errors import UserError
from streams.settings import Settings, load_settings

READY_SECONDS = 180
TAIL_LINES = 15
LONGEST_LINE = 300
WORKER_DEATHS = 3
"""Exits of a worker before `up` fails: a fail-stop worker may need a restart."""
STACK_FRAME = re.compile(r"\s+(at |\.\.\. )")
"""Java's stack frames: a hundred of them would hide the line with the error."""


@dataclass(frozen=True, slots=True)
class Started:
    """Result of `up`."""

    settings: Settings
    was_running: bool
    seconds: float


def up(home: Home, progress: Progress, *, workers: bool = True, port_base: int | None = None) -> Started:
    """Start every process that does not run and wait until all are ready; data of earlier runs is kept.

    Raises `UserError`, with the end of the log if a process does not start. Then the processes that this call
    started are stopped, unless only a worker fails: the others help to find the reason.
    """
    begun = time.monotonic()
    home.prepare()
    with _alone(home):
        supervisor = Supervisor(home)
        was_running = supervisor.is_alive()
        settings = (
            _running_settings(home, port_base) if was_running else _new_settings(home, progress, port_base)
        )
        runtime = _runtime(settings, progress)
        processes = table(settings, home, runtime)
        try:
            _supervise(home, supervisor, processes, progress, was_running)
            _bring_up(home, supervisor, settings, runtime, processes, progress)
        except BaseException:
            if not was_running:
                progress.line("stopping the processes that were started")
                _stop(home, supervisor, progress)
            raise
        if workers:
            _start_workers(home, supervisor, processes, progress)
    return Started(settings, was_running, time.monotonic() - begun)


def down(home: Home, progress: Progress) -> bool:
    """Stop every process of the stack. Returns whether any ran."""
    if not home.folder.is_dir():
        return False
    with _alone(home):
        return _stop(home, Supervisor(home), progress)


def reset(home: Home, progress: Progress) -> None:
    """Stop everything and delete all data of the stack. Raises `UserError` if there is no stack."""
    if not home.is_stack():
        raise UserError(
            f"{home.folder} has no stack: nothing was deleted; set OPOI_HOME to the folder of one"
        )
    down(home, progress)
    home.delete()


def _running_settings(home: Home, port_base: int | None) -> Settings:
    settings = load_settings(home.folder)
    if port_base is not None and settings.local.kafka_port != port_base:
        raise UserError(
            f"--port-base {port_base}: this stack runs with its broker on {settings.local.kafka_port}; "
            "run `opoi down` first"
        )
    return settings


def _new_settings(home: Home, progress: Progress, port_base: int | None) -> Settings:
    for line in orphans.end(home.folder):
        progress.line(line)
    settings = ports.write_stack_env(home, ports.choose(home, port_base))
    for line in ports.diverted(settings, home):
        progress.line(line)
    return settings


def _runtime(settings: Settings, progress: Progress) -> Runtime:
    java = find_java(settings.java)
    cache = cache_folder(settings.cache)
    with ThreadPoolExecutor() as side:
        # Kafka is prepared while the registry is downloaded
        kafka_jars = fetch(KAFKA, cache, progress, settings.maven_url)
        kafka_options = side.submit(kafka.quick_start, java, kafka_jars, cache, progress)
        registry_jars = fetch(REGISTRY, cache, progress, settings.maven_url)
        registry_options = side.submit(registry.quick_start, java, registry_jars, cache, progress)
        return Runtime(
            java=java,
            kafka=kafka_jars,
            registry=registry_jars,
            kafka_options=kafka_options.result(),
            registry_options=registry_options.result(),
        )


def _supervise(
    home: Home, supervisor: Supervisor, processes: Iterable[Process], progress: Progress, was_running: bool
) -> None:
    """A supervisor that runs with the configuration of `processes`."""
    wanted = config(home, processes, Path.cwd())
    if not was_running:
        home.supervisor_config.write_text(wanted)
        supervisor.start()
    elif _without_directory(home.supervisor_config.read_text()) != _without_directory(wanted):
        home.supervisor_config.write_text(wanted)
        changed = supervisor.reload()
        if changed:
            progress.line(f"restarted, because their commands changed: {', '.join(changed)}")


def _without_directory(text: str) -> list[str]:
    # `opoi up` in another working folder is no reason to restart processes
    return [line for line in text.splitlines() if not line.startswith("directory = ")]


def _bring_up(
    home: Home,
    supervisor: Supervisor,
    settings: Settings,
    runtime: Runtime,
    processes: Iterable[Process],
    progress: Progress,
) -> None:
    """Start the services that the workers need, and set them up."""
    base = [process for process in processes if not process.is_worker]
    running = _running(supervisor)
    # the registry takes longest: it starts while the broker's folder is formatted
    for process in base:
        if process.name != "kafka" and process.name not in running:
            supervisor.start_process(process.name)
    if "kafka" not in running:
        local = settings.local
        kafka.prepare(
            home.part("kafka"),
            runtime.java,
            runtime.kafka,
            local.kafka_port,
            local.controller_port,
            runtime.kafka_options,
        )
        supervisor.start_process("kafka")
    _wait(home, supervisor, base, progress, deaths=1)
    bootstrap(
        settings,
        progress.working,
        progress.line,
        [("reference agent", lambda: register_media_buyer(settings))],
    )


def _start_workers(
    home: Home, supervisor: Supervisor, processes: Iterable[Process], progress: Progress
) -> None:
    running = _running(supervisor)
    stages = [process for process in processes if process.is_worker]
    for process in stages:
        if process.name not in running:
            supervisor.start_process(process.name)
    _wait(home, supervisor, stages, progress, deaths=WORKER_DEATHS)


def _running(supervisor: Supervisor) -> set[str]:
    return {state.name for state in supervisor.states() if state.state in ("RUNNING", "STARTING")}


def _wait(
    home: Home, supervisor: Supervisor, processes: list[Process], progress: Progress, deaths: int
) -> None:
    """Wait until each is ready. Raises `UserError` for the first that ended `deaths` times or timed out."""
    begun = time.monotonic()
    waiting = {process.name: process for process in processes}
    lives: dict[str, set[int]] = {process.name: set() for process in processes}
    while waiting:
        progress.working(f"waiting for {', '.join(waiting)}")
        states = {state.name: state for state in supervisor.states()}
        for name, process in list(waiting.items()):
            state = states[name]
            if state.pid is not None:
                lives[name].add(state.pid)
            ended = len(lives[name]) - (state.pid is not None)
            if ended >= deaths:
                raise UserError(_failure(home, name, f"{name} ended {_times(ended)}"), exit_code=1)
            if state.pid is not None and process.ready():
                del waiting[name]
                progress.line(f"{name} is ready ({time.monotonic() - begun:.1f} s)")
            elif time.monotonic() - begun > READY_SECONDS:
                raise UserError(
                    _failure(home, name, f"{name} is not ready after {READY_SECONDS} s"), exit_code=1
                )
        if waiting:
            time.sleep(0.1)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _failure(home: Home, name: str, what: str) -> str:
    said = [line for line in tail(home.log(name), 200) if not STACK_FRAME.match(line)]
    lines = "\n".join(f"  {line[:LONGEST_LINE]}" for line in said[-TAIL_LINES:])
    return f"{what}; the end of {home.log(name)}:\n{lines}"


def _stop(home: Home, supervisor: Supervisor, progress: Progress) -> bool:
    ran = supervisor.is_alive()
    if ran:
        pid = supervisor.pid()
        for names in (WORKERS, BASE):
            _stop_side_by_side(supervisor, names, progress)
        supervisor.shut_down()
        _wait_for_end(pid, progress)
    lines = orphans.end(home.folder)
    for line in lines:
        progress.line(line)
    return ran or bool(lines)


def _stop_side_by_side(supervisor: Supervisor, names: tuple[str, ...], progress: Progress) -> None:
    """Stops processes at the same time; the supervisor's own shutdown stops one after the other."""
    for name in _running(supervisor) & {*names}:
        supervisor.stop_process(name, wait=False)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        left = [state.name for state in supervisor.states() if state.name in names and state.pid is not None]
        if not left:
            return
        progress.working(f"stopping {', '.join(left)}")
        time.sleep(0.1)


def _wait_for_end(pid: int, progress: Progress) -> None:
    import psutil

    progress.working("stopping")
    try:
        psutil.Process(pid).wait(READY_SECONDS)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        progress.line(f"the supervisor did not end in {READY_SECONDS} s")


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One `up`, `down` or `reset` of a stack at a time."""
    home.run.mkdir(exist_ok=True)
    with (home.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another `opoi up` or `opoi down` works on {home.folder}: wait for its end", exit_code=1
            ) from None
        yield
