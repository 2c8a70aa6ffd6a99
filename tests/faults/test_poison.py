"""What becomes of records that kill, that cannot be read, and that only had bad luck."""

import json
import signal
import time
from collections.abc import Callable

import pytest

from schemas.stages import DEAD_LETTERS, DISPOSITIONS, REJECTIONS
from streams.runtime.crash_marker import read_marker
from streams.runtime.supervisor import WorkerFolders, exits
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, PAIRS
from testkit.faust.workers import Worker, running, wait_until_drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeBed = Callable[..., Bed]


def outcomes(bed: Bed) -> dict[str, set[str]]:
    """Outcomes and reasons by the name of what was fed."""
    found: dict[str, set[str]] = {}
    for _, value, _ in bed.read(DISPOSITIONS):
        one = json.loads(value or b"")
        logical = one["topic"]
        name = bed.fed[logical, one["partition"], one["offset"]]
        found.setdefault(name, set()).add(f"{one['outcome']}/{one['reason']}")
    return found


def finish(bed: Bed, worker: Worker, timeout: float = 200) -> None:
    """Lets the worker, which runs, read everything, and stops it."""
    assert wait_until_drained(bed, [worker], timeout), worker.log.read_text()[-3000:]
    assert worker.stop() == 0


@pytest.mark.parametrize(("text", "code", "how"), [("segfault", 139, "sigsegv"), ("raise", 70, "own_fault")])
def test_a_record_that_kills_the_process_ends_as_a_dead_letter(
    make_bed: MakeBed, text: str, code: int, how: str
) -> None:
    bed = make_bed()
    bed.send(LEFT, "good1", 1)
    bed.send(LEFT, "bad", 2, text)
    bed.send(LEFT, "good2", 3)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        finish(bed, worker)
    assert worker.exits == [code] * 3
    folders = WorkerFolders(bed.home, bed.stage, "1")
    assert exits(folders)[how] == 3
    assert outcomes(bed) == {
        "good1": {"emitted/paired"},
        "good2": {"emitted/paired"},
        "bad": {"dead/killed_the_process"},
    }
    ((key, value, headers),) = bed.read(DEAD_LETTERS)
    assert key == b"bad"
    assert json.loads(value or b"") == {"id": "bad", "number": 2, "text": text}
    assert headers["dlq.error_type"] == b"killed_the_process"
    assert headers["dlq.error"] == b"the process died 3 times on it"
    assert not list(folders.deaths.glob("*.json")), "what was dealt with is forgotten"


def test_a_record_on_which_the_step_hangs_ends_as_a_dead_letter(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    bed.send(LEFT, "hangs", 1, "sleep:600")
    bed.send(LEFT, "good", 2)
    bed.flush()
    worker = Worker(bed, "1", more=["--settings", json.dumps({"watchdog_seconds": 2})])
    with running(worker):
        finish(bed, worker)
    assert worker.exits == [70] * 3
    assert "a step has run for" in worker.log.read_text()
    assert outcomes(bed) == {"hangs": {"dead/killed_the_process"}, "good": {"emitted/paired"}}


@pytest.mark.timeout(600)
def test_a_record_during_which_the_process_is_killed_ten_times_is_processed(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    bed.send(LEFT, "slow", 1, "sleep:1.5")
    bed.flush()
    folders = WorkerFolders(bed.home, bed.stage, "1")
    worker = Worker(bed, "1")
    with running(worker):
        for _ in range(10):
            deadline = time.monotonic() + 120
            while read_marker(folders.mark) is None:
                assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
                worker.tend()
                time.sleep(0.02)
            assert worker.kill_child()
            assert worker.process is not None
            assert worker.process.wait(10) == 128 + signal.SIGKILL
            folders.mark.unlink()
            worker.tend()
        finish(bed, worker)
    assert exits(folders)["sigkill"] == 10
    assert outcomes(bed) == {"slow": {"emitted/paired"}}
    assert list(bed.read(DEAD_LETTERS)) == []


def test_what_can_never_be_read_is_a_dead_letter_with_its_bytes(make_bed: MakeBed) -> None:
    bed = make_bed()
    sent: dict[str, tuple[bytes | None, bytes | None]] = {
        "garbage": (b"k1", b"\xff\xfe not a record"),
        "tombstone": (b"k2", None),
        "nothing": (None, None),
        "empty": (b"k3", b""),
        "refused": (b"refused", b'{"id":"refused","number":1,"text":"poison"}'),
        "astray": (b"another-key", b'{"id":"id77","number":1}'),
    }
    for name, (key, value) in sent.items():
        bed.send_raw(LEFT, key, value, name, [("null", None), ("traceparent", b"00-" + name.encode())])
    bed.send(LEFT, "good", 1)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        finish(bed, worker)
    assert worker.exits == []
    found = outcomes(bed)
    assert found.pop("astray") <= {"dead/wrong_partition", "emitted/paired"}
    assert found == {
        "garbage": {"dead/contract"},
        "tombstone": {"dead/contract"},
        "nothing": {"dead/contract"},
        "empty": {"dead/contract"},
        "refused": {"dead/contract"},
        "good": {"emitted/paired"},
    }
    letters = {}
    for key, value, headers in bed.read(DEAD_LETTERS):
        assert headers["orig.null"] is None
        letters[(headers["orig.traceparent"] or b"").decode()[3:]] = key, value
    letters.setdefault("astray", sent["astray"])
    # aiokafka writes no record without key and value
    sent["nothing"] = b"", None
    assert letters == sent


def test_a_record_just_under_the_limit_is_processed(make_bed: MakeBed) -> None:
    bed = make_bed()
    for number in range(3):
        bed.send(LEFT, f"id{number}", number, "x" * 4_000_000)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        finish(bed, worker)
    assert worker.exits == []
    assert set().union(*outcomes(bed).values()) == {"emitted/paired"}


def test_an_output_over_its_topic_limit_is_a_rejection(make_bed: MakeBed) -> None:
    bed = make_bed()
    bed.send("left", "wide", 1, "large")
    bed.send("right", "wide", 1, "large")
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        finish(bed, worker)
    assert worker.exits == []
    assert outcomes(bed)["wide"] == {"emitted/paired", "rejected/too_large"}
    ((_, value, _),) = bed.read(REJECTIONS)
    assert json.loads(value or b"")["reason_code"] == "too_large"
    assert list(bed.read(PAIRS)) == []


def test_a_stage_that_refuses_everything_stops(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    for number in range(30):
        bed.send_raw(LEFT, b"k", b"garbage", f"garbage{number}")
    bed.flush()
    settings = json.dumps({"dlq_limit_run": 5, "dlq_limit_pause_seconds": 0.1})
    worker = Worker(bed, "1", more=["--settings", settings])
    with running(worker):
        deadline = time.monotonic() + 120
        while len(worker.exits) < 3:
            assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
            worker.tend()
            time.sleep(0.05)
    assert worker.exits == [74, 74, 74]
    # four went before the fifth tripped it; the restarts let none through
    assert len(list(bed.read(DEAD_LETTERS))) == 4
