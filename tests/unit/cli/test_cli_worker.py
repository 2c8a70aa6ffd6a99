"""`opoi worker`: every stage starts the same way, with a parent that writes down how it died."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from local_stack.ports import free_port
from streams.runtime.supervisor import WorkerFolders, exits
from streams.stages import STAGES


def command(stage: str) -> list[str]:
    return [sys.executable, "-P", "-m", "streams.cli.main", "worker", stage]


@contextmanager
def worker(stage: str, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """A worker that waits for its broker, and its child."""
    process = subprocess.Popen(command(stage), stderr=subprocess.PIPE)
    try:
        give_up = time.monotonic() + 30
        while not (children := psutil.Process(process.pid).children()):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield process, children[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a stack that does not run."""
    monkeypatch.chdir(Path(__file__).parents[3])
    monkeypatch.setenv("OPOI_HOME", str(tmp_path))
    monkeypatch.setenv("OPOI_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_how_a_worker_died_is_written_down(stage: str, home: Path) -> None:
    with worker(stage, home) as (parent, child):
        os.kill(child.pid, signal.SIGSEGV)
        assert parent.wait(30) == 128 + signal.SIGSEGV
    assert exits(WorkerFolders(home, stage, "1")) == {"sigsegv": 1}


def test_a_second_worker_of_one_name_is_refused(home: Path) -> None:
    with worker("sink", home):
        second = subprocess.run(command("sink"), capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "a worker '1' of stage 'sink' already runs" in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_stage_that_is_not_there_is_refused(home: Path) -> None:
    refused = subprocess.run(command("jion"), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "there is no stage 'jion'; stages: join, trigger" in refused.stderr
