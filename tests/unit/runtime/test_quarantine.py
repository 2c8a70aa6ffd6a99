"""Suspects: what was in work when the process crashed by itself, and nothing else."""

import json
from pathlib import Path

import pytest

from streams.core.contract import Coordinates
from streams.runtime.quarantine import Suspects
from streams.runtime.supervisor import Folders

ONE, OTHER = Coordinates("requests", 0, 1), Coordinates("requests", 3, 9)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = Folders(tmp_path, "replay", "1")
    found.worker.mkdir(parents=True)
    return found


def died(folders: Folders, **how: int) -> None:
    folders.exits.write_text(json.dumps(how))


def test_nobody_is_a_suspect_after_an_end_that_came_from_outside(folders: Folders) -> None:
    Suspects(folders).in_work([ONE, OTHER])
    died(folders, sigkill=1, own_fault=1, exit_0=3, sigterm=2)
    assert ONE not in Suspects(folders)


def test_after_a_crash_all_that_was_in_work_is(folders: Folders) -> None:
    before = Suspects(folders)
    before.in_work([ONE, OTHER])
    before.in_work([OTHER])
    died(folders, sigsegv=1)
    after = Suspects(folders)
    assert ONE not in after
    assert OTHER in after


def test_a_suspect_stays_one_until_it_is_cleared(folders: Folders) -> None:
    Suspects(folders).in_work([ONE, OTHER])
    died(folders, sigabrt=1)
    Suspects(folders).clear(ONE)
    died(folders, sigabrt=1, sigkill=4)
    after = Suspects(folders)
    assert ONE not in after
    assert OTHER in after


def test_crashes_of_long_ago_do_not_count(folders: Folders) -> None:
    died(folders, sigsegv=5)
    Suspects(folders).in_work([ONE])
    assert ONE not in Suspects(folders)
