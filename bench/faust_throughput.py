"""Events a second of one worker: the pairing stage with every repair, beside the same agent on plain Faust.

`python -m bench.faust_throughput`. Both read the same backlog, one after the other, in turns.
"""

import random
import signal
import statistics
import time
from pathlib import Path

from bench.faust_options import bed, parser
from testkit.faust.harness import Bed
from testkit.faust.workers import Worker, running

TARGET = 0.8


def measure(bootstrap: str, folder: Path, pairs: int, size: int, *, plain: bool) -> float:
    """Events a second over the middle of a backlog, by committed offsets."""
    name = f"{'plain' if plain else 'safe'}{time.time_ns() // 1_000_000}"
    topics = Bed(bootstrap, name, folder / name)
    topics.make_topics()
    text = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz ", k=size))
    for number in range(pairs):
        topics.send("left", f"id{number}", number, text)
        topics.send("right", f"id{number}", number, text)
    topics.flush()
    worker = Worker(
        topics, "1", unsafe="all" if plain else "", more=["--plain", "rocksdb://"] if plain else []
    )
    with running(worker):
        points: list[tuple[float, int]] = []
        total = 2 * pairs
        deadline = time.monotonic() + 300
        while (done := total - topics.behind()) < total:
            assert time.monotonic() < deadline, f"{done} of {total} done: {worker.log.read_text()[-2000:]}"
            if done:
                points.append((time.monotonic(), done))
            time.sleep(0.25)
        points.append((time.monotonic(), total))
        worker.stop(signal.SIGTERM)
    (first_at, first), (last_at, last) = points[0], points[-1]
    return (last - first) / (last_at - first_at)


def main() -> None:
    """Prints the table."""
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=15_000)
    options.add_argument("--size", type=int, default=1_000, help="bytes of text in a record")
    options.add_argument("--turns", type=int, default=3)
    given = options.parse_args()
    with bed(given) as (bootstrap, folder):
        print(f"{'turn':>4} {'plain /s':>9} {'safe /s':>9} {'ratio':>6}")
        ratios = []
        for turn in range(given.turns):
            plain = measure(bootstrap, folder, given.pairs, given.size, plain=True)
            safe = measure(bootstrap, folder, given.pairs, given.size, plain=False)
            ratios.append(safe / plain)
            print(f"{turn:>4} {plain:>9.0f} {safe:>9.0f} {safe / plain:>6.2f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.2f}, wanted at least {TARGET}")
    raise SystemExit(0 if statistics.median(ratios) >= TARGET else 3)


if __name__ == "__main__":
    main()
