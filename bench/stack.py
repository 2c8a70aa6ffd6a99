"""How long `opoi up` takes with everything fetched, and what the stack uses at rest: `python -m bench.stack`.

Starts a stack of its own in a temporary folder, `--runs` times, and stops it each time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_SECONDS = 25
TARGET_MEMORY = 2.5
REST_SECONDS = 20


def opoi(home: Path, *words: str) -> str:
    """One call of the command line."""
    command = [sys.executable, "-P", "-m", "streams.cli.main", *words]
    found = subprocess.run(
        command, env={**os.environ, "OPOI_HOME": str(home)}, stdout=subprocess.PIPE, check=True, text=True
    )
    return found.stdout


def main() -> None:
    """Prints medians beside the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--port-base", type=int, default=27000)
    given = parser.parse_args()
    seconds, memory = [], []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            begun = time.monotonic()
            opoi(home, "up", "--port-base", str(given.port_base))
            seconds.append(time.monotonic() - begun)
            time.sleep(REST_SECONDS)
            status = json.loads(opoi(home, "status", "--json"))
            memory.append(status["memory"] / 2**30)
            opoi(home, "down")
    print("| figure | median | target |")
    print("|---|---|---|")
    print(
        f"| opoi up to ready, everything fetched, s | {statistics.median(seconds):.1f} | {TARGET_SECONDS} |"
    )
    print(f"| memory at rest, GiB | {statistics.median(memory):.2f} | {TARGET_MEMORY} |")


if __name__ == "__main__":
    main()
