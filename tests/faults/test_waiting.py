"""What is away is waited for; a stop and a rebalance do not wait for it."""

import signal
import time
from collections.abc import Callable

import pytest

from schemas.log_events import REGISTRY_UNREACHABLE
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT
from testkit.faust.workers import Worker, running, wait_until_drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeBed = Callable[..., Bed]


def until_it_waits(worker: Worker) -> None:
    """Returns once the worker says that it waits."""
    deadline = time.monotonic() + 120
    while REGISTRY_UNREACHABLE.text not in worker.log.read_text():
        assert worker.process is not None
        assert worker.process.poll() is None, worker.log.read_text()[-3000:]
        assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
        time.sleep(0.05)


def test_a_registry_that_is_away_loses_nothing(make_bed: MakeBed) -> None:
    bed = make_bed()
    away = bed.home / "registry-away"
    away.touch()
    for number in range(20):
        bed.send(LEFT, f"id{number}", number)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        until_it_waits(worker)
        time.sleep(2)
        assert bed.committed() == {}
        away.unlink()
        assert wait_until_drained(bed, [worker], 120)
        worker.stop()
    report = bed.report()
    assert (report.lost, report.dead, report.repeated) == ([], 0, 0)
    assert worker.exits == []


def test_a_worker_that_waits_stops_within_seconds(make_bed: MakeBed) -> None:
    bed = make_bed()
    (bed.home / "registry-away").touch()
    bed.send(LEFT, "id", 1)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        until_it_waits(worker)
        began = time.monotonic()
        assert worker.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 30
        assert bed.committed() == {}
        (bed.home / "registry-away").unlink()
        worker.start()
        assert wait_until_drained(bed, [worker], 120)
        worker.stop()
    assert bed.report().lost == []


def test_a_worker_that_waits_lets_another_one_join(make_bed: MakeBed) -> None:
    bed = make_bed()
    (bed.home / "registry-away").touch()
    for number in range(40):
        bed.send(LEFT, f"id{number}", number)
    bed.flush()
    one, other = Worker(bed, "1"), Worker(bed, "2")
    with running(one), running(other):
        until_it_waits(one)
        until_it_waits(other)
        (bed.home / "registry-away").unlink()
        assert wait_until_drained(bed, [one, other], 60)
        one.stop()
        other.stop()
    report = bed.report()
    assert (report.lost, report.dead) == ([], 0)
