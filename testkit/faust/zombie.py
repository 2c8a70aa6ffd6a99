"""A worker that stood still for longer than its session, with events in hand, while another took over."""

import time
from pathlib import Path

from streams.runtime.crash_marker import read_marker
from streams.runtime.supervisor import WorkerFolders
from testkit.faust.harness import Bed, Report
from testkit.faust.pairs import LEFT, RIGHT
from testkit.faust.rebalance import FREEZE_SECONDS
from testkit.faust.workers import Worker, running, wait_until_drained


def scene(bootstrap: str, folder: Path, unsafe: str = "", halves: int = 60) -> Report:
    """Freezes a worker in the middle of a backlog until another one has done everything."""
    name = f"zom{time.time_ns() // 1_000_000}"
    bed = Bed(bootstrap, name, folder / name, partitions=2)
    bed.make_topics()
    for number in range(halves):
        bed.send(LEFT, f"id{number}", number, "sleep:0.05")
    bed.flush()
    first, second = Worker(bed, "1", unsafe=unsafe), Worker(bed, "2", unsafe=unsafe)
    with running(first), running(second):
        second.stop()
        mark = WorkerFolders(bed.home, bed.stage, "1").mark
        deadline = time.monotonic() + 120
        while read_marker(mark) is None:
            assert time.monotonic() < deadline, first.log.read_text()[-2000:]
            time.sleep(0.01)
        children = first.freeze()
        frozen = time.monotonic()
        second.start()
        bed.feed(RIGHT, range(halves))
        assert wait_until_drained(bed, [second], 180), second.log.read_text()[-2000:]
        time.sleep(max(0.0, FREEZE_SECONDS - (time.monotonic() - frozen)))
        for child in children:
            child.resume()
        time.sleep(halves * 0.05 + 5)
        assert wait_until_drained(bed, [first, second], 120)
        first.stop()
        second.stop()
    return bed.report()
