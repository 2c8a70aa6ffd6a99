"""A worker that stood still for longer than its session, with events in its hands, while another took over.

`python -m bench.faust_zombie`, and `--unsafe lease` to see what it writes over the other's states.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from testkit.faust.harness import own_broker
from testkit.faust.zombie import scene


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
