"""The one-machine stack: seconds to ready, memory at rest, disk: `python -m bench.stack`.

Downloads are fetched before the clock starts. The first start is on an empty folder, the next one on
the data of the first. The machine's load is shown with the figures: other work makes them longer.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

from streams.cli.output import table
from streams.local import leftovers, stack
from streams.local.artifacts import KAFKA, REGISTRY, cache_folder, fetch
from streams.local.home import MEBIBYTE, Home
from streams.local.progress import Lines
from streams.local.status import status
from streams.settings import load_settings


def processor_seconds(home: Home) -> float:
    """Processor time that the stack's processes have used."""
    total = 0.0
    for process in leftovers.find(home.folder):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def measure(home: Home, start: str, workers: bool, rest: float) -> list[object]:
    """One row: start the stack, let it rest, look, stop it."""
    load = os.getloadavg()[0]
    # the base is low and far from the defaults, so that a stack of the user's may run beside it
    started = stack.up(home, Lines(), workers=workers, port_base=27_000 if start == "empty" else None)
    used = processor_seconds(home)
    time.sleep(rest)
    found = status(home, started.settings)
    stopping = time.monotonic()
    stack.down(home, Lines())
    return [
        start,
        round(started.seconds, 1),
        round(used, 1),
        found.memory // MEBIBYTE,
        sum(found.disk.values()) // MEBIBYTE,
        round(time.monotonic() - stopping, 1),
        round(load, 1),
    ]


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-workers", dest="workers", action="store_false", help="without the stages")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds before memory is read")
    options = parser.parse_args()
    settings = load_settings()
    for artifact in (KAFKA, REGISTRY):
        fetch(artifact, cache_folder(settings.cache), Lines(), settings.maven_url)
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as folder:
        home = Home(Path(folder) / "home")
        rows = [measure(home, start, options.workers, options.rest) for start in ("empty", "with data")]
    heads = ["start", "ready s", "processor s", "memory MiB", "disk MiB", "down s", "load before"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
