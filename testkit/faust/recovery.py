"""Restarts with a backlog: what does a worker lose that was fed while it was down?"""

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from testkit.faust.harness import Bed, Report
from testkit.faust.pairs import LEFT, RIGHT
from testkit.faust.workers import Worker, running, wait_until_drained

CODES = {70: "fault", 71: "produce", 72: "guard", 73: "watchdog", 76: "expelled"}


@dataclass(frozen=True)
class Result:
    """A run and how its workers ended by themselves."""

    seed: int
    report: Report
    exits: list[int]
    drained: bool
    seconds: float

    @property
    def losses(self) -> int:
        """What must be zero."""
        found = self.report
        return len(found.lost) + found.unpaired + found.stale + (not self.drained)

    def row(self) -> str:
        """One line of the table."""
        codes = sorted(set(self.exits))
        ended = ", ".join(f"{CODES.get(code, code)} x{self.exits.count(code)}" for code in codes)
        found = self.report
        return (
            f"{self.seed:>5} {found.fed:>8} {len(found.lost):>5} {found.undone:>6} {found.unpaired:>9} "
            f"{found.stale:>6} {found.repeated:>9} {self.drained!s:>8} {self.seconds:>6.0f}s  {ended or '-'}"
        )


HEADER = (
    f"{'seed':>5} {'fed':>8} {'lost':>5} {'undone':>6} {'unpaired':>9} {'stale':>6} {'repeated':>9} "
    f"{'drained':>8} {'took':>7}  ended by itself"
)


def soak(
    bootstrap: str,
    folder: Path,
    seed: int,
    *,
    restarts: int,
    burst: int,
    unsafe: str = "",
    plain: bool = False,
    wipe: float = 0.5,
) -> Result:
    """`restarts` times: feeds `burst` pairs while the worker is down, lets it run, stops it somehow."""
    began = time.monotonic()
    chance = random.Random(seed)
    bed = Bed(bootstrap, f"rec{seed}x{int(time.time())}", folder / f"recovery-{seed}-{int(time.time())}")
    bed.make_topics()
    worker = Worker(
        bed, "1", unsafe="all" if plain else unsafe, more=["--plain", "memory://"] if plain else []
    )
    for turn in range(restarts + 1):
        # the right half comes one restart after the left one, so that a lost state is a lost pair
        if turn:
            bed.feed(RIGHT, range((turn - 1) * burst, turn * burst))
        if turn == restarts:
            break
        bed.feed(LEFT, range(turn * burst, (turn + 1) * burst))
        if chance.random() < wipe:
            worker.wipe()
        with running(worker):
            end = time.monotonic() + chance.uniform(4, 9)
            while time.monotonic() < end:
                worker.tend()
                time.sleep(0.1)
            worker.tend()
            worker.stop(chance.choice([signal.SIGTERM, signal.SIGKILL]))
    with running(worker):
        drained = wait_until_drained(bed, [worker], 90)
        worker.stop()
    return Result(seed, bed.report(), worker.exits, drained, time.monotonic() - began)
