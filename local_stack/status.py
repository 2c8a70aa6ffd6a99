"""Processes of the stack, their ports, and their use of memory and disk."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from local_stack.home import Home
from local_stack.ports import PORTS
from local_stack.processes import metrics_ports
from local_stack.supervise import Supervisor, recent_exits
from streams.errors import UserError
from streams.health.probes import unreachable
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process: its `port` (of a worker: the metrics port), `memory` in bytes with its children, recent
    `exits` by itself."""

    name: str
    state: str
    pid: int | None
    uptime_seconds: int
    memory: int
    port: int | None
    exits: int


@dataclass(frozen=True, slots=True)
class Status:
    """The whole stack; `disk` in bytes by part of its folder, `away` the services that replays wait for."""

    home: str
    running: bool
    processes: list[ProcessStatus]
    memory: int
    ports: dict[str, int]
    disk: dict[str, int]
    away: list[str]

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def status(home: Home, settings: Settings) -> Status:
    """The stack as it is now; a process that does not run is reported, not an error."""
    supervisor = Supervisor(home)
    ports = {name.removesuffix("_port"): getattr(settings.local, name) for name in PORTS}
    running = home.folder.is_dir() and supervisor.is_alive()
    listening = ports | metrics_ports(settings.local)
    processes = list(_processes(supervisor, listening, recent_exits(home))) if running else []
    own = _memory(supervisor.pid(), children=False) if running else 0
    return Status(
        home=str(home.folder),
        running=running,
        processes=processes,
        memory=own + sum(process.memory for process in processes),
        ports=ports,
        disk=home.sizes(),
        away=unreachable(listening["replay"]) if running else [],
    )


def log_names(home: Home) -> list[str]:
    """Processes that have a log."""
    return sorted(path.stem for path in home.part("logs").glob("*.log"))


def log_of(home: Home, name: str) -> Any:
    """The log of one process. Raises `UserError` that names the existing logs."""
    names = log_names(home)
    if name not in names:
        known = ", ".join(names) or "none yet; run `opoi up`"
        raise UserError(f"no log of {name!r} in {home.part('logs')}; logs: {known}")
    return home.log(name)


def _processes(supervisor: Supervisor, ports: dict[str, int], exits: Counter[str]) -> Iterator[ProcessStatus]:
    for state in supervisor.states():
        yield ProcessStatus(
            name=state.name,
            state=state.state.lower(),
            pid=state.pid,
            uptime_seconds=state.uptime_seconds,
            memory=_memory(state.pid) if state.pid else 0,
            port=ports.get(state.name),
            exits=exits[state.name],
        )


def _memory(pid: int, *, children: bool = True) -> int:
    """Resident bytes of a process, and of its children."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else [])]
        return sum(int(member.memory_info().rss) for member in family)
    except psutil.NoSuchProcess:
        return 0
