"""Restarts with a backlog: what does a worker lose that was fed while it was down?

`python -m bench.faust_recovery --seeds 11 12 13`; `--plain` runs the same agent on Faust as it is shipped,
`--unsafe recovery,guard,fetch` leaves repairs out. A row per seed; exit code 3 where something was lost,
with `--expect-loss` where nothing was.
The race of plain Faust hides on a busy machine.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from testkit.faust.harness import own_broker
from testkit.faust.recovery import HEADER, soak


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
