"""Restarts with a backlog: what does a worker lose that was fed while it was down?

`python -m bench.faust_recovery --seeds 11 12 13`; `--plain` runs the same agent on Faust as it is shipped,
`--unsafe recovery,guard,fetch` leaves repairs out. A row per seed; exit code 3 where something was lost,
with `--expect-loss` where nothing was.
The race of plain Faust hides on a busy machine.
"""

from pathlib import Path

from bench.faust_options import print_soaks, soak_parser
from testkit.faust.recovery import Result, soak


def main() -> None:
    """Prints the table."""
    parser = soak_parser(__doc__, [11, 12, 13])
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--burst", type=int, default=100, help="pairs fed while the worker is down")
    parser.add_argument("--plain", action="store_true", help="the same agent on Faust as it is shipped")
    given = parser.parse_args()

    def one(bootstrap: str, folder: Path, seed: int) -> Result:
        return soak(
            bootstrap,
            folder,
            seed,
            restarts=given.restarts,
            burst=given.burst,
            unsafe=given.unsafe,
            plain=given.plain,
        )

    what = "Faust as it is shipped" if given.plain else f"repairs left out: {given.unsafe or 'none'}"
    print_soaks(given, what, one)


if __name__ == "__main__":
    main()
