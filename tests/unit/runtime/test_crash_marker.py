"""Marks survive the death of the process that set them."""

import faulthandler
import os
import signal
from pathlib import Path

import pytest

from streams.core.contract import Coordinates
from streams.runtime.crash_marker import CrashMarker, DeathCounter, read_marker

AT = Coordinates("agent.decisions", 3, 12_345_678_901)


def test_a_mark_is_read_back(tmp_path: Path) -> None:
    mark = CrashMarker(tmp_path / "mark")
    assert read_marker(tmp_path / "mark") is None
    mark.set(AT)
    assert read_marker(tmp_path / "mark") == AT
    mark.set(Coordinates("t", 0, 1))
    assert read_marker(tmp_path / "mark") == Coordinates("t", 0, 1)
    mark.clear()
    assert read_marker(tmp_path / "mark") is None


def test_without_a_file_there_is_no_mark(tmp_path: Path) -> None:
    assert read_marker(tmp_path / "mark") is None


def test_a_new_process_starts_without_a_mark(tmp_path: Path) -> None:
    CrashMarker(tmp_path / "mark").set(AT)
    CrashMarker(tmp_path / "mark")
    assert read_marker(tmp_path / "mark") is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_mark_outlives_its_process(tmp_path: Path, number: signal.Signals) -> None:
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        CrashMarker(tmp_path / "mark").set(AT)
        os.kill(os.getpid(), number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == number
    assert read_marker(tmp_path / "mark") == AT


def test_a_long_topic_name_is_cut(tmp_path: Path) -> None:
    CrashMarker(tmp_path / "mark").set(Coordinates("x" * 10_000, 1, 2))
    found = read_marker(tmp_path / "mark")
    assert found is not None
    assert found.topic.startswith("xxx")
    assert (found.partition, found.offset) == (1, 2)


def test_deaths_are_counted_by_record_and_shared(tmp_path: Path) -> None:
    one, other = DeathCounter(tmp_path), DeathCounter(tmp_path)
    assert one.add(AT, "own_fault") == 1
    assert other.add(AT, "sigsegv") == 2
    one.load()
    assert one.count(AT) == 2
    assert one.count(Coordinates(AT.topic, AT.partition, 1)) == 0


def test_a_record_that_was_dealt_with_is_forgotten(tmp_path: Path) -> None:
    deaths = DeathCounter(tmp_path)
    deaths.add(AT, "own_fault")
    deaths.load()
    deaths.forget(AT)
    assert deaths.count(AT) == 0
    deaths.load()
    assert deaths.count(AT) == 0


def test_deaths_that_another_worker_deals_with_meanwhile_are_left_out(tmp_path: Path) -> None:
    deaths = DeathCounter(tmp_path)
    deaths.add(AT, "raise")
    # listed, and gone when it is read
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    deaths.load()
    assert deaths.count(AT) == 1
