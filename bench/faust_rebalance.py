"""One to three workers that join, stop, are killed and lose their folders under a steady feed.

`python -m bench.faust_rebalance --seeds 21 22 23`; `--unsafe guard,commits,fetch` shows what the repairs
prevent. A row per seed; exit code 3 where something was lost, with `--expect-loss` where nothing was.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from testkit.faust.harness import own_broker
from testkit.faust.rebalance import soak
from testkit.faust.recovery import HEADER


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
