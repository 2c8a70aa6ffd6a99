"""A worker that stood still for longer than its session, with events in its hands, while another took over.

`python -m bench.faust_zombie`, and `--unsafe lease` to see what it writes over the other's states.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.faust_harness import Bed, Report, own_broker
from bench.faust_pairs import LEFT, RIGHT
from bench.faust_rebalance import FREEZE_SECONDS
from bench.faust_workers import Worker, running, wait_until_drained
from streams.processors.keeper import Folders
from streams.processors.marks import read_mark


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
        mark = Folders(bed.home, bed.stage, "1").mark
        deadline = time.monotonic() + 120
        while read_mark(mark) is None:
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


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--unsafe", default="", help="repairs to leave out")
    parser.add_argument("--bootstrap", help="a broker that runs already")
    parser.add_argument("--port", type=int, default=22100)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opoi-bench-")))
        bootstrap = given.bootstrap or own_broker(stack, folder, given.port)
        print(f"repairs left out: {given.unsafe or 'none'}")
        print(f"{'turn':>4} {'fed':>6} {'lost':>5} {'unpaired':>9} {'stale':>6}")
        stale = 0
        for turn in range(given.turns):
            found = scene(bootstrap, folder, given.unsafe)
            print(
                f"{turn:>4} {found.fed:>6} {len(found.lost):>5} {found.unpaired:>9} {found.stale:>6}",
                flush=True,
            )
            stale += found.stale + len(found.lost) + found.unpaired
    raise SystemExit(3 if stale else 0)


if __name__ == "__main__":
    main()
