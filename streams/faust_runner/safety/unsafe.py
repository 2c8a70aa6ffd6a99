"""`OPOI_UNSAFE_FAUST`: leaves repairs out, for the tests and benchmarks that show what they prevent.

Never for production: each name brings a way to lose records back. `all` leaves out everything.
"""

import os
import sys
from collections.abc import Mapping

VARIABLE = "OPOI_UNSAFE_FAUST"
REPAIRS = {
    "recovery": "records fetched while a table is restored are skipped",
    "fetch": "records fetched before a rebalance are taken for new ones",
    "unpacking": "a batch that cannot be unpacked ends the fetch, one of gigabytes the worker",
    "commits": "offsets of records that were never processed are committed",
    "publishing": "outputs and table changes that the broker refused are forgotten",
    "guard": "a skipped record is not noticed",
    "lease": "a worker that lost its partitions goes on writing",
    "assignment": "a broker that restarts can leave a group without partitions for five minutes",
    "isolation": "records of aborted transactions are read",
    "watchdog": "a worker that hangs is not ended",
    "preflight": "topics that do not fit together are not noticed",
}


class UnknownRepair(ValueError):
    """The variable names an unknown repair; the text is for the user."""


def left_out(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The repairs to leave out. Raises `UnknownRepair`."""
    names = {name.strip() for name in environment.get(VARIABLE, "").split(",")} - {""}
    if "all" in names:
        return frozenset(REPAIRS)
    if unknown := names - REPAIRS.keys():
        raise UnknownRepair(
            f"{VARIABLE}: no repair is called {', '.join(sorted(unknown))}; "
            f"allowed: all, {', '.join(REPAIRS)}; unset it outside of tests"
        )
    return frozenset(names)


def warn(names: frozenset[str]) -> None:
    """Prints to stderr which repairs are missing."""
    for name in sorted(names):
        print(f"UNSAFE: {VARIABLE} leaves out {name!r}: {REPAIRS[name]}", file=sys.stderr)  # noqa: T201
