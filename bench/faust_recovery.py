"""Restarts with a backlog: what does a worker lose that was fed while it was down?

`python -m bench.faust_recovery --seeds 11 12 13`; `--plain` runs the same agent on Faust as it is shipped,
`--unsafe recovery,guard,fetch` leaves repairs out. A row per seed; exit code 3 where something was lost,
with `--expect-loss` where nothing was.
The race of plain Faust hides on a busy machine.
"""

import argparse
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.faust_harness import Bed, Report, own_broker
from bench.faust_pairs import LEFT, RIGHT
from bench.faust_workers import Worker, running, wait_until_drained

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


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--burst", type=int, default=100, help="pairs fed while the worker is down")
    parser.add_argument("--unsafe", default="", help="repairs to leave out")
    parser.add_argument("--plain", action="store_true", help="the same agent on Faust as it is shipped")
    parser.add_argument("--expect-loss", action="store_true", help="exit code 3 where nothing was lost")
    parser.add_argument("--bootstrap", help="a broker that runs already")
    parser.add_argument("--port", type=int, default=22100)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opoi-bench-")))
        bootstrap = given.bootstrap or own_broker(stack, folder, given.port)
        print("Faust as it is shipped" if given.plain else f"repairs left out: {given.unsafe or 'none'}")
        print(HEADER)
        lost = 0
        for seed in given.seeds:
            result = soak(
                bootstrap,
                folder,
                seed,
                restarts=given.restarts,
                burst=given.burst,
                unsafe=given.unsafe,
                plain=given.plain,
            )
            print(result.row(), flush=True)
            lost += result.losses
    raise SystemExit(0 if bool(lost) is given.expect_loss else 3)


if __name__ == "__main__":
    main()
