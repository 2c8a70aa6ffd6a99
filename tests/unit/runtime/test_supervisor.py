"""The keeper writes down how its worker ended."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.core.contract import Coordinates
from streams.runtime.crash_marker import Deaths, Mark
from streams.runtime.supervisor import AlreadyRuns, Folders, exits, is_own_fault, keep

AT = Coordinates("agent.decisions", 3, 42)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path, "join", "1")


def dying(folders: Folders, end: Callable[[], None], *, marked: bool = True) -> Callable[[], None]:
    """Work that dies on a record; the child must not run the rest of the tests."""

    def work() -> None:
        try:
            faulthandler.disable()
            mark = Mark(folders.mark)
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


def deaths_of(folders: Folders) -> int:
    deaths = Deaths(folders.deaths)
    deaths.load()
    return deaths.count(AT)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_signal_of_its_own_is_counted_against_the_record(folders: Folders, number: signal.Signals) -> None:
    assert keep(folders, dying(folders, raised(number)), 5) == 128 + number
    assert deaths_of(folders) == 1
    assert exits(folders) == {number.name.lower(): 1}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_from_outside_is_not(folders: Folders, number: signal.Signals) -> None:
    assert keep(folders, dying(folders, raised(number)), 5) == 128 + number
    assert deaths_of(folders) == 0


@pytest.mark.parametrize(("code", "counted"), [(70, 1), (71, 0), (72, 0), (73, 0), (74, 0), (1, 0), (0, 0)])
def test_of_the_exit_codes_only_the_own_fault_is(folders: Folders, code: int, counted: int) -> None:
    assert keep(folders, dying(folders, lambda: os._exit(code)), 5) == code
    assert deaths_of(folders) == counted


def test_without_a_mark_nothing_is_counted(folders: Folders) -> None:
    keep(folders, dying(folders, lambda: os._exit(70), marked=False), 5)
    assert not list(folders.deaths.glob("*")) if folders.deaths.exists() else True
    assert exits(folders) == {"own_fault": 1}


def test_a_mark_of_an_earlier_process_is_not_counted(folders: Folders) -> None:
    """It died together with its keeper, by a kill or with the machine."""
    folders.worker.mkdir(parents=True)
    Mark(folders.mark).set(AT)

    def work() -> None:
        os._exit(70)

    keep(folders, work, 5)
    assert deaths_of(folders) == 0


def test_exits_add_up(folders: Folders) -> None:
    for _ in range(3):
        keep(folders, dying(folders, lambda: os._exit(72)), 5)
    assert exits(folders) == {"contiguity": 3}


def test_a_second_worker_of_the_same_name_is_refused(folders: Folders) -> None:
    def work() -> None:
        try:
            keep(folders, lambda: None, 5)
        except AlreadyRuns as error:
            os._exit(9 if "give this one a name of its own" in str(error) else 8)
        finally:
            os._exit(7)

    assert keep(folders, work, 5) == 9


KEEPER = """
import sys, time, os, signal
from pathlib import Path
from streams.runtime.supervisor import Folders, keep
def work():
    Path({home!r}, "child").write_text(str(os.getpid()))
    if {stubborn!r}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
sys.exit(keep(Folders(Path({home!r}), "join", "1"), work, 0.5))
"""


def start_keeper(home: Path, *, stubborn: bool) -> tuple[subprocess.Popen[bytes], int]:
    program = KEEPER.format(home=str(home), stubborn=stubborn)
    keeper = subprocess.Popen([sys.executable, "-c", program])
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
    ("status", "own"), [(70 << 8, True), (0, False), (11, True), (9, False), (15, False)]
)
def test_what_an_own_fault_is(status: int, own: bool) -> None:
    assert is_own_fault(status) is own
