"""One to three workers that join, stop, are killed and lose their folders under a steady feed.

`python -m bench.faust_rebalance --seeds 21 22 23`; `--unsafe guard,commits,fetch` shows what the repairs
prevent. A row per seed; exit code 3 where something was lost, with `--expect-loss` where nothing was.
"""

from pathlib import Path

from bench.faust_options import print_soaks, soak_parser
from testkit.faust.rebalance import soak
from testkit.faust.recovery import Result


def main() -> None:
    """Prints the table."""
    parser = soak_parser(__doc__, list(range(21, 31)))
    parser.add_argument("--events", type=int, default=12)
    parser.add_argument("--rate", type=float, default=150.0, help="pairs a second")
    parser.add_argument("--freezes", type=float, default=0.2, help="share of stops that only freeze")
    given = parser.parse_args()

    def one(bootstrap: str, folder: Path, seed: int) -> Result:
        return soak(
            bootstrap,
            folder,
            seed,
            events=given.events,
            rate=given.rate,
            unsafe=given.unsafe,
            freezes=given.freezes,
        )

    print_soaks(given, f"repairs left out: {given.unsafe or 'none'}", one)


if __name__ == "__main__":
    main()
