"""A worker that stood still for longer than its session, with events in its hands, while another took over.

`python -m bench.faust_zombie`, and `--unsafe lease` to see what it writes over the other's states.
"""

from bench.faust_options import bed, parser
from testkit.faust.zombie import scene


def main() -> None:
    """Prints the table."""
    options = parser(__doc__)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--unsafe", default="", help="repairs to leave out")
    given = options.parse_args()
    with bed(given) as (bootstrap, folder):
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
