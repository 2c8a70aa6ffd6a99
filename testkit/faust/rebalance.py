"""One to three workers that join, stop, are killed and lose their folders under a steady feed."""

import random
import signal
import threading
import time
from pathlib import Path

from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, RIGHT
from testkit.faust.recovery import Result
from testkit.faust.workers import Worker, wait_until_drained

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
