"""Suspects: what was in work when the process died by its own fault, and nothing else."""

from pathlib import Path

import pytest

from streams.core.contract import Coordinates
from streams.runtime.quarantine import Quarantine, quarantine_all_in_work

ONE, OTHER = Coordinates("requests", 0, 1), Coordinates("requests", 3, 9)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "in-work.json"


def test_nobody_is_a_suspect_after_an_end_that_came_from_outside(file: Path) -> None:
    Quarantine(file).in_work([ONE, OTHER])
    assert ONE not in Quarantine(file)


def test_after_a_crash_all_that_was_in_work_is(file: Path) -> None:
    before = Quarantine(file)
    before.in_work([ONE, OTHER])
    before.in_work([OTHER])
    quarantine_all_in_work(file)
    after = Quarantine(file)
    assert ONE not in after
    assert OTHER in after


def test_a_suspect_stays_one_until_it_is_cleared(file: Path) -> None:
    Quarantine(file).in_work([ONE, OTHER])
    quarantine_all_in_work(file)
    Quarantine(file).clear(ONE)
    quarantine_all_in_work(file)
    after = Quarantine(file)
    assert ONE not in after
    assert OTHER in after


def test_crashes_before_anything_was_in_work_suspect_nobody(file: Path) -> None:
    quarantine_all_in_work(file)
    Quarantine(file).in_work([ONE])
    assert ONE not in Quarantine(file)


@pytest.mark.parametrize("cut", ["", "{", "[]", '{"in_work": 3}', '{"in_work": [1]}'])
def test_a_file_that_a_crash_of_the_machine_cut_suspects_nobody(file: Path, cut: str) -> None:
    file.write_text(cut)
    quarantine_all_in_work(file)
    assert ONE not in Quarantine(file)


def test_a_file_of_version_0_2_is_read(file: Path) -> None:
    file.write_text('{"crashes": 2, "in_work": [["requests", 0, 1]], "suspects": [["requests", 3, 9]]}')
    quarantine_all_in_work(file)
    after = Quarantine(file)
    assert ONE in after
    assert OTHER in after


def test_what_was_in_work_when_a_worker_of_version_0_2_crashed_is_suspect(file: Path) -> None:
    file.write_text('{"crashes": 0, "in_work": [["requests", 0, 1]], "suspects": []}')
    assert ONE in Quarantine(file)
