"""The keeper writes down how its worker ended."""

import errno
import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.log_events import EXIT_NOT_RECORDED
from schemas.names import UnsafeName
from streams.core.contract import Coordinates
from streams.runtime.crash_marker import CrashMarker, DeathCounter
from streams.runtime.exit_codes import ExitCode
from streams.runtime.quarantine import Quarantine
from streams.runtime.supervisor import AlreadyRuns, WorkerFolders, exits, is_own_fault, supervise

AT = Coordinates("agent.decisions", 3, 42)


@pytest.fixture
def folders(tmp_path: Path) -> WorkerFolders:
    return WorkerFolders(tmp_path, "join", "1")


def test_a_home_that_a_worker_makes_or_finds_is_closed_to_others(tmp_path: Path) -> None:
    for home in (tmp_path / "new", tmp_path / "old"):
        (tmp_path / "old").mkdir(mode=0o755, exist_ok=True)
        folders = WorkerFolders(home, "join", "1")
        folders.make()
        folders.make()
        assert folders.worker.is_dir()
        assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/tmp/elsewhere", ".deaths", "a\0", "x" * 201])
def test_a_worker_whose_name_leads_elsewhere_has_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeName, match=r"worker .* must be 1 to 200 bytes"):
        WorkerFolders(tmp_path, "join", name)


def dying(folders: WorkerFolders, end: Callable[[], None], *, marked: bool = True) -> Callable[[], None]:
    """Work that dies on a record; the child must not run the rest of the tests."""

    def work() -> None:
        try:
            faulthandler.disable()
            mark = CrashMarker(folders.mark)
            if marked:
                mark.set(AT)
            end()
        finally:
            os._exit(0)

    return work


def raised(number: int) -> Callable[[], None]:
    def end() -> None:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        time.sleep(10)

    return end


def deaths_of(folders: WorkerFolders) -> int:
    deaths = DeathCounter(folders.deaths)
    deaths.load()
    return deaths.count(AT)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_signal_of_its_own_is_counted_against_the_record(
    folders: WorkerFolders, number: signal.Signals
) -> None:
    assert supervise(folders, dying(folders, raised(number)), 5) == 128 + number
    assert deaths_of(folders) == 1
    assert exits(folders) == {number.name.lower(): 1}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_from_outside_is_not(folders: WorkerFolders, number: signal.Signals) -> None:
    assert supervise(folders, dying(folders, raised(number)), 5) == 128 + number
    assert deaths_of(folders) == 0


@pytest.mark.parametrize(
    ("code", "counted"),
    [(70, 1), (73, 1), (1, 1), (3, 1), (139, 1), *((code, 0) for code in (0, 2, 71, 72, 74, 75, 76, 77))],
)
def test_every_way_of_dying_counts_but_those_that_say_something_else(
    folders: WorkerFolders, code: int, counted: int
) -> None:
    assert supervise(folders, dying(folders, lambda: os._exit(code)), 5) == code
    assert deaths_of(folders) == counted


@pytest.mark.parametrize(("end", "suspected"), [(70, True), (1, True), (73, True), (77, False), (2, False)])
def test_without_a_mark_all_in_work_are_suspects(folders: WorkerFolders, end: int, suspected: bool) -> None:
    def work() -> None:
        Quarantine(folders.in_work).in_work([AT])
        os._exit(end)

    supervise(folders, work, 5)
    assert (AT in Quarantine(folders.in_work)) is suspected


def test_a_crash_whose_traces_cannot_be_written_down_is_the_machines_fault(
    folders: WorkerFolders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DeathCounter, "add", full)
    assert supervise(folders, dying(folders, lambda: os._exit(70)), 5) == ExitCode.MACHINE_FAULT
    said = json.loads(capfd.readouterr().err)
    assert said["event"] == EXIT_NOT_RECORDED.text
    assert said["error"] == "[Errno 28] No space left on device"


def test_a_file_of_deaths_that_a_crash_of_the_machine_cut_is_passed_over(folders: WorkerFolders) -> None:
    folders.deaths.mkdir(parents=True)
    DeathCounter(folders.deaths).file(AT).write_text('{"topic": "agent.dec')
    assert deaths_of(folders) == 0
    supervise(folders, dying(folders, lambda: os._exit(70)), 5)
    assert deaths_of(folders) == 1


def test_without_a_mark_nothing_is_counted(folders: WorkerFolders) -> None:
    supervise(folders, dying(folders, lambda: os._exit(70), marked=False), 5)
    assert not list(folders.deaths.glob("*")) if folders.deaths.exists() else True
    assert exits(folders) == {"own_fault": 1}


def test_a_mark_of_an_earlier_process_is_not_counted(folders: WorkerFolders) -> None:
    """It died together with its keeper, by a kill or with the machine."""
    folders.worker.mkdir(parents=True)
    CrashMarker(folders.mark).set(AT)

    def work() -> None:
        os._exit(70)

    supervise(folders, work, 5)
    assert deaths_of(folders) == 0


def test_exits_add_up(folders: WorkerFolders) -> None:
    for _ in range(3):
        supervise(folders, dying(folders, lambda: os._exit(72)), 5)
    assert exits(folders) == {"contiguity": 3}


def test_a_second_worker_of_the_same_name_is_refused(folders: WorkerFolders) -> None:
    def work() -> None:
        try:
            supervise(folders, lambda: None, 5)
        except AlreadyRuns as error:
            os._exit(9 if "give this one a name of its own" in str(error) else 8)
        finally:
            os._exit(7)

    assert supervise(folders, work, 5) == 9


KEEPER = """
import sys, time, os, signal
from pathlib import Path
from streams.runtime.supervisor import WorkerFolders, supervise
def work():
    Path({home!r}, "child").write_text(str(os.getpid()))
    if {stubborn!r}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
sys.exit(supervise(WorkerFolders(Path({home!r}), "join", "1"), work, 0.5))
"""


def start_keeper(home: Path, *, stubborn: bool) -> tuple[subprocess.Popen[bytes], int]:
    program = KEEPER.format(home=str(home), stubborn=stubborn)
    keeper = subprocess.Popen([sys.executable, "-P", "-c", program])
    child = home / "child"
    deadline = time.monotonic() + 30
    while not (child.exists() and child.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    return keeper, int(child.read_text())


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_stop_is_passed_on_and_insisted_on(tmp_path: Path, stubborn: bool) -> None:
    keeper, child = start_keeper(tmp_path, stubborn=stubborn)
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 128 + (signal.SIGKILL if stubborn else signal.SIGTERM)
    assert not alive(child)


def test_a_killed_keeper_takes_its_worker_along(tmp_path: Path) -> None:
    keeper, child = start_keeper(tmp_path, stubborn=True)
    keeper.kill()
    keeper.wait(10)
    deadline = time.monotonic() + 5
    while alive(child):
        assert time.monotonic() < deadline, "the worker outlives its keeper"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("status", "own"), [(70 << 8, True), (0, False), (77 << 8, False), (11, True), (9, False), (15, False)]
)
def test_what_an_own_fault_is(status: int, own: bool) -> None:
    assert is_own_fault(status) is own
