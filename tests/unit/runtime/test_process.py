"""Every stage's process begins and ends in the same way."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.worker import STAGES

BROKEN = """
import errno, os, sys
from streams.runtime import process
from streams.settings import load_settings
def work(worker):
    {body}
process.run("join", load_settings(), work)
"""


def run(home: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command on the stack at `home`."""
    environment = {**os.environ, "OPOI_HOME": str(home), **settings}
    return subprocess.run(
        [sys.executable, "-P", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def worked(home: Path, body: str) -> subprocess.CompletedProcess[str]:
    """A worker's process that does `body`."""
    return run(home, "-c", BROKEN.format(body=body), OPOI_LOG__FORMAT="json")


@pytest.mark.parametrize("stage", STAGES)
def test_a_metrics_port_that_is_taken_refuses_the_start_in_one_line(stage: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ("-m", "streams.cli.main", "worker", stage)
        ended = run(tmp_path, *command, OPOI_METRICS__PORT=str(port), OPOI_LOG__FORMAT="json")
    assert ended.returncode == 2
    [line] = (ended.stdout + ended.stderr).splitlines()
    assert f"stage {stage} stops: it cannot serve metrics on 127.0.0.1:{port}" in line
    assert "give this worker another OPOI_METRICS__PORT" in line


def test_work_that_returns_ends_with_zero(tmp_path: Path) -> None:
    assert worked(tmp_path, "pass").returncode == 0


def test_a_full_disk_blames_no_record(tmp_path: Path) -> None:
    assert worked(tmp_path, 'raise OSError(errno.ENOSPC, "No space left on device")').returncode == 77


def test_with_a_record_in_hand_its_text_is_not_logged(tmp_path: Path) -> None:
    from_record = worked(
        tmp_path,
        "from streams.core.contract import Coordinates; "
        'worker.guards.mark.set(Coordinates("t", 0, 1)); raise ValueError("private")',
    )
    assert from_record.returncode == 70
    said = from_record.stdout + from_record.stderr
    assert "stage join failed (ValueError)" in said
    assert "private" not in said


def test_without_one_it_is(tmp_path: Path) -> None:
    ended = worked(tmp_path, 'raise ValueError("a setting of ours")')
    assert "stage join failed (ValueError: a setting of ours)" in ended.stdout + ended.stderr
