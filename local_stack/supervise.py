"""supervisord: its configuration, its start, and calls over its Unix socket."""

import http.client
import json
import os
import re
import shlex
import socket
import sys
import time
import xmlrpc.client
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from local_stack.environments import of_any_process
from local_stack.home import Home
from local_stack.processes import BASE, PYTHON, WORKERS, Process
from schemas.child_environment import kept
from streams.errors import UserError

MARK = "OPOI_STACK"
"""Variable in the environment of every process of a stack: the stack's folder."""
LOG_BYTES = 10 * 1024 * 1024
LOG_COPIES = 2
START_SECONDS = 60
SECONDS_UP = 3
"""A process that ends sooner counts as one that cannot start, and waits longer each time."""

EXITED = re.compile(r"(?P<at>\S+ [\d:]+),\d+ \w+ exited: (?P<name>\w+) ")
EXIT_MINUTES = 10
LOG_LINES = 2000

NOT_RUNNING = 70  # supervisor's fault codes
BAD_NAME = 10
ALREADY_STARTED = 60
ADDED_BEFORE = 90


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor's state of one process."""

    name: str
    state: str
    pid: int | None
    uptime_seconds: int
    exit_status: int | None

    @property
    def failed(self) -> bool:
        """Whether it ended by itself and has not restarted."""
        return self.state in ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")

    @property
    def never_started(self) -> bool:
        """Whether it was never started since the supervisor runs."""
        return self.state == "STOPPED" and self.exit_status is None


def config(home: Home, processes: Iterable[Process], directory: Path) -> str:
    """The supervisor's configuration for `processes`, which run in `directory`. Raises `UserError`."""
    sections = [
        "[unix_http_server]",
        f"file = {_value(str(home.socket))}",
        "chmod = 0600",
        "",
        "[supervisord]",
        "nodaemon = true",
        "silent = true",
        f"pidfile = {_value(str(home.run / 'supervisord.pid'))}",
        f"logfile = {_value(str(home.log('supervisor')))}",
        f"logfile_maxbytes = {LOG_BYTES}",
        f"logfile_backups = {LOG_COPIES}",
        f"childlogdir = {_value(str(home.part('logs')))}",
        f"directory = {_value(str(directory))}",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for process in processes:
        environment = {
            "PYTHONUNBUFFERED": "1",
            "OPOI_HOME": str(home.folder),
            MARK: str(home.folder),
            **process.environment,
        }
        pairs = ",".join(f'{name}="{_value(value)}"' for name, value in environment.items())
        sections += [
            "",
            f"[program:{process.name}]",
            f"command = {_value(shlex.join(process.command))}",
            f"environment = {pairs}",
            f"priority = {process.priority}",
            # `opoi up` starts each process when its dependencies are ready
            "autostart = false",
            "autorestart = true",
            f"startsecs = {SECONDS_UP}",
            # never given up: a service that it waits for may be unreachable for long
            "startretries = 1000000",
            f"stopwaitsecs = {process.stop_seconds}",
            "stopasgroup = true",
            "killasgroup = true",
            "redirect_stderr = true",
            f"stdout_logfile = {_value(str(home.log(process.name)))}",
            f"stdout_logfile_maxbytes = {LOG_BYTES}",
            f"stdout_logfile_backups = {LOG_COPIES}",
        ]
    return "\n".join(sections) + "\n"


def _value(text: str) -> str:
    if set(text) & {"\n", "\r", "\0"}:
        # the rest would be read as sections of the file
        raise UserError(f"{text!r} has a line break in its name: use a folder without one")
    # the file's format expands %(name)s
    return text.replace("%", "%%")


class Supervisor:
    """The supervisor of one stack, over its socket. Every call may raise `UserError`."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def is_alive(self) -> bool:
        """Whether it answers."""
        try:
            self._call("getState", timeout=5)
        except UserError:
            return False
        return True

    def start(self) -> None:
        """Start the supervisor with its configuration file, in its own session."""
        import importlib.util

        if importlib.util.find_spec("supervisor") is None:
            raise UserError(
                "the one-machine stack is not installed: run `pip install 'opoi[local]'`", exit_code=1
            )
        log = self.home.log("supervisor")
        command = [*PYTHON, "-m", "supervisor.supervisord", "-c", str(self.home.supervisor_config)]
        environment = {**kept(of_any_process()), MARK: str(self.home.folder), "PYTHONWARNINGS": "ignore"}
        # it outlives this process, so it must not need a parent that waits for it
        pid = os.posix_spawn(
            sys.executable,
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.is_alive():
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended or time.monotonic() > deadline:
                raise UserError(f"the supervisor did not start: {last_line(log)}; see {log}", exit_code=1)
            time.sleep(0.05)

    def states(self) -> list[State]:
        """All processes, in the order of their dependencies."""
        order = [*BASE, *WORKERS]
        found_all = self._call("getAllProcessInfo")
        found_all.sort(key=lambda found: order.index(found["name"]) if found["name"] in order else len(order))
        return [
            State(
                name=found["name"],
                state=found["statename"],
                pid=found["pid"] or None,
                uptime_seconds=found["now"] - found["start"] if found["pid"] else 0,
                exit_status=None if found["pid"] or not found["stop"] else found["exitstatus"],
            )
            for found in found_all
        ]

    def start_process(self, name: str) -> None:
        """Start one process unless it runs; does not wait."""
        self._call("startProcess", name, False, accept=ALREADY_STARTED)

    def stop_process(self, name: str, *, wait: bool = True) -> None:
        """Stop one process, and with `wait` wait for its end."""
        self._call("stopProcess", name, wait, accept=NOT_RUNNING, timeout=120)

    def reload(self) -> list[str]:
        """Apply a changed configuration; stops and returns the changed and removed processes."""
        [[added, changed, removed]] = self._call("reloadConfig")
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name, True, timeout=120)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name, accept=ADDED_BEFORE)
        return [*changed, *removed]

    def shut_down(self) -> None:
        """Begin to stop all processes and then the supervisor; does not wait."""
        self._call("shutdown")

    def pid(self) -> int:
        """Its process id."""
        return int(self._call("getPID"))

    def _call(self, method: str, *arguments: Any, accept: int | None = None, timeout: float = 30) -> Any:
        transport = _Transport(self.home.socket, timeout)
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport, allow_none=True) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == accept:
                    return None
                raise UserError(f"supervisor, {method}: {fault.faultString}", exit_code=1) from None
            except (OSError, http.client.HTTPException) as error:
                raise UserError(
                    f"the supervisor at {self.home.socket} does not answer ({error}); run `opoi up`",
                    exit_code=1,
                ) from None


def recent_exits(home: Home, minutes: float = EXIT_MINUTES) -> Counter[str]:
    """How often each process ended by itself in the last `minutes`, from the supervisor's log."""
    since = datetime.now() - timedelta(minutes=minutes)
    exits: Counter[str] = Counter()
    for line in tail(home.log("supervisor"), LOG_LINES):
        found = EXITED.match(line)
        if found and datetime.fromisoformat(found["at"]) >= since:
            exits[found["name"]] += 1
    return exits


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, with a time limit."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """A connection that closing the transport closes."""
        connection = _UnixConnection(self._path, self._timeout)
        self._connection = host, connection
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("supervisor", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log, none if there is no log yet."""
    if not log.is_file():
        return []
    with log_file(log) as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]


def log_file(log: Path) -> TextIO:
    """An open log; its lines end at line feeds, not at carriage returns."""
    return log.open(errors="replace", newline="\n")


def last_line(log: Path) -> str:
    """The last line of a log; of a structured one, its event."""
    line = next(iter(tail(log, 1)), "its log is empty").strip()
    if line.startswith("{"):
        try:
            found = json.loads(line)
            return ": ".join(
                str(found[name]) for name in ("event", "error") if name == "event" or name in found
            )
        except (ValueError, KeyError):
            return line
    return line
