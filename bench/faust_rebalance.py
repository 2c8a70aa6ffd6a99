"""One to three workers that join, stop, are killed and lose their folders under a steady feed.

`python -m bench.faust_rebalance --seeds 21 22 23`; `--unsafe guard,commits,fetch` shows what the repairs
prevent. A row per seed; exit code 3 where something was lost, with `--expect-loss` where nothing was.
"""

import argparse
import random
import signal
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench.faust_harness import Bed, own_broker
from bench.faust_pairs import LEFT, RIGHT
from bench.faust_recovery import HEADER, Result
from bench.faust_workers import Worker, wait_until_drained

SPREAD = 3000
"""Halves that wait to be fed in random order."""
FREEZE_SECONDS = 14.0
"""Longer than the session: the group gives the worker's partitions away while it stands still."""


def soak(
    bootstrap: str,
    folder: Path,
    seed: int,
    *,
    events: int,
    rate: float = 150.0,
    unsafe: str = "",
    workers: int = 3,
    freezes: float = 0.2,
) -> Result:
    """`events` times something happens to the workers; `rate` pairs a second are fed meanwhile."""
    began = time.monotonic()
    chance = random.Random(seed)
    bed = Bed(bootstrap, f"reb{seed}x{int(time.time())}", folder / f"rebalance-{seed}-{int(time.time())}")
    bed.make_topics()
    fleet = [Worker(bed, str(number), unsafe=unsafe) for number in range(1, workers + 1)]
    enough = threading.Event()
    feeder = threading.Thread(target=_feed, args=(bed, rate, random.Random(seed), enough), daemon=True)
    feeder.start()
    try:
        fleet[0].start()
        for _ in range(events):
            end = time.monotonic() + chance.uniform(3, 9)
            while time.monotonic() < end:
                for worker in fleet:
                    worker.tend()
                time.sleep(0.1)
            _disturb(fleet, chance, freezes)
        enough.set()
        feeder.join()
        if not any(worker.runs for worker in fleet):
            fleet[0].start()
        drained = wait_until_drained(bed, fleet, 240)
    finally:
        enough.set()
        for worker in fleet:
            if worker.runs:
                worker.stop(signal.SIGTERM)
    exits = [code for worker in fleet for code in worker.exits]
    return Result(seed, bed.report(), exits, drained, time.monotonic() - began)


def _disturb(fleet: list[Worker], chance: random.Random, freezes: float) -> None:
    up = [worker for worker in fleet if worker.runs]
    down = [worker for worker in fleet if not worker.runs]
    if not up or (down and chance.random() < 0.5):
        worker = chance.choice(down)
        if chance.random() < 0.3:
            worker.wipe()
        worker.start()
        return
    worker = chance.choice(up)
    worker.tend()
    if chance.random() < freezes:
        worker.freeze(FREEZE_SECONDS)
        return
    worker.stop(chance.choice([signal.SIGTERM, signal.SIGKILL]))


def _feed(bed: Bed, rate: float, chance: random.Random, enough: threading.Event) -> None:
    number, waiting = 0, []
    began = time.monotonic()
    while not enough.is_set():
        while number < (time.monotonic() - began) * rate:
            waiting += [(LEFT, number), (RIGHT, number)]
            number += 1
            if len(waiting) > SPREAD:
                # the halves of an id lie far apart, so that a lost state is a lost pair
                chance.shuffle(waiting)
                for topic, which in waiting[:100]:
                    bed.send(topic, f"id{which}", which)
                waiting = waiting[100:]
        bed.producer.poll(0)
        time.sleep(0.01)
    for topic, which in waiting:
        bed.send(topic, f"id{which}", which)
    bed.flush()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(21, 31)))
    parser.add_argument("--events", type=int, default=12)
    parser.add_argument("--rate", type=float, default=150.0, help="pairs a second")
    parser.add_argument("--freezes", type=float, default=0.2, help="share of stops that only freeze")
    parser.add_argument("--unsafe", default="", help="repairs to leave out")
    parser.add_argument("--expect-loss", action="store_true", help="exit code 3 where nothing was lost")
    parser.add_argument("--bootstrap", help="a broker that runs already")
    parser.add_argument("--port", type=int, default=22100)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opoi-bench-")))
        bootstrap = given.bootstrap or own_broker(stack, folder, given.port)
        print(f"repairs left out: {given.unsafe or 'none'}")
        print(HEADER)
        lost = 0
        for seed in given.seeds:
            result = soak(
                bootstrap,
                folder,
                seed,
                events=given.events,
                rate=given.rate,
                unsafe=given.unsafe,
                freezes=given.freezes,
            )
            print(result.row(), flush=True)
            lost += result.losses
    raise SystemExit(0 if bool(lost) is given.expect_loss else 3)


if __name__ == "__main__":
    main()
