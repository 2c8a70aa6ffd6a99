"""The parent process of a worker: it waits, and records how the worker ended.

A process cannot record its own segmentation fault. So `opoi worker` forks: the child does the work, the
parent imports little, passes signals on, and counts the child's death against the record that the
child's mark names, if the child died by its own fault: with exit code 70 or 73, with a code that `ExitCode`
does not list, or by a signal that it raised itself. Without a mark, all records in work are suspects
(`streams.runtime.quarantine`). The other codes of `ExitCode` blame no record. SIGKILL (the kernel short of
memory, an operator), SIGTERM, SIGINT and SIGHUP come from outside. When the parent is killed, the kernel
kills the child with it; that death is not counted either.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from schemas.log_event import LogEvent
from schemas.log_events import EXIT_NOT_RECORDED, WORKER_DIED
from schemas.names import safe_name
from streams.private_files import own_folder
from streams.runtime.crash_marker import DeathCounter, read_marker
from streams.runtime.exit_codes import ExitCode
from streams.runtime.quarantine import quarantine_all_in_work

FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

BLAMELESS = frozenset(ExitCode) - {ExitCode.OWN_FAULT, ExitCode.WATCHDOG} | {0}
"""Exit codes that blame no record."""

_PR_SET_PDEATHSIG = 1


class AlreadyRuns(Exception):
    """Another process works in the same folder; the text is for the user."""


class WorkerFolders:
    """Folders and files of a worker, below `home`. Raises UnsafeName."""

    def __init__(self, home: Path, stage: str, worker: str) -> None:
        self._home = home
        self.stage = home / "state" / stage
        self.worker = self.stage / safe_name(worker, "worker")
        self.deaths = self.stage / ".deaths"
        self.mark = self.worker / "mark"
        self.exits = self.worker / "exits.json"
        self.lock = self.worker / "lock"
        self.tripped = self.worker / "breaker-tripped"
        self.in_work = self.worker / "in-work.json"

    def make(self) -> None:
        """Make the worker's folder, in a home that is this user's alone. Raises OSError."""
        own_folder(self._home)
        self.worker.mkdir(parents=True, exist_ok=True)


def is_own_fault(status: int) -> bool:
    """Whether a wait status is a death by the process's own fault."""
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) not in FROM_OUTSIDE
    return os.WEXITSTATUS(status) not in BLAMELESS


def describe(status: int) -> str:
    """A wait status as a short stable word."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name.lower()
    code = os.WEXITSTATUS(status)
    return ExitCode(code).name.lower() if code in set(ExitCode) else f"exit_{code}"


def supervise(folders: WorkerFolders, work: Callable[[], None], stop_seconds: float) -> int:
    """Runs `work` in a child process and returns its exit code, or 128 and the signal that ended it.

    In the child this does not return. Raises `AlreadyRuns`.
    """
    folders.make()
    lock = folders.lock.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise AlreadyRuns(
            f"a worker {folders.worker.name!r} of stage {folders.stage.name!r} already runs in "
            f"{folders.worker}: stop it, or give this one a name of its own"
        ) from error
    with lock:
        folders.mark.unlink(missing_ok=True)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _die_with(parent)
            work()
            sys.exit(0)
        status = _wait(child, stop_seconds)
        try:
            _write_down(folders, status)
        except OSError as error:
            _log(folders, EXIT_NOT_RECORDED, error=str(error))
            return ExitCode.MACHINE_FAULT
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def exits(folders: WorkerFolders) -> dict[str, int]:
    """Number of ends of the worker by `describe`."""
    try:
        found = json.loads(folders.exits.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(how): int(count) for how, count in found.items()}


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _wait(child: int, stop_seconds: float) -> int:
    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)
        if number != signal.SIGUSR1:
            signal.setitimer(signal.ITIMER_REAL, stop_seconds)

    def kill(_: int, __: FrameType | None) -> None:
        os.kill(child, signal.SIGKILL)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, kill)
    try:
        # the child is a zombie until it is waited for, so its process id is not reused before
        _, status = os.waitpid(child, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _write_down(folders: WorkerFolders, status: int) -> None:
    how = describe(status)
    counts = exits(folders)
    counts[how] = counts.get(how, 0) + 1
    whole = folders.exits.with_suffix(".new")
    whole.write_text(json.dumps(counts))
    whole.replace(folders.exits)
    if not is_own_fault(status):
        return
    at = read_marker(folders.mark)
    if at is None:
        quarantine_all_in_work(folders.in_work)
        return
    deaths = DeathCounter(folders.deaths).add(at, how)
    where = f"{at.topic}-{at.partition} at {at.offset}"
    _log(folders, WORKER_DIED, error=f"on {where} ({how}), deaths on it: {deaths}")


def _log(folders: WorkerFolders, event: LogEvent, error: str) -> None:
    line = {"event": event.text, "error": error, "level": event.level}
    place = {"worker": folders.worker.name, "stage": folders.stage.name}
    print(json.dumps(line | place), file=sys.stderr)  # noqa: T201  the parent sets no logging up
