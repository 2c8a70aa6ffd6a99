"""Runs every benchmark and keeps what they print, dated: `python -m bench [NAME ...] [--write PAGE]`.

A benchmark that misses its target exits with 3; the page says so and the run goes on. What the page has of
benchmarks that were not run now stays, with its own date and version.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

LOSING = ("--expect-loss",)
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "codec": ("codec",),
    "local_model": ("local_model",),
    "stack": ("stack",),
    "request_latency": ("request_latency",),
    "sink": ("sink",),
    "pending_state": ("pending_state",),
    "replay_worker": ("replay_worker",),
    "faust_throughput": ("faust_throughput",),
    "faust_recovery": ("faust_recovery",),
    "faust_recovery as shipped": ("faust_recovery", "--seeds", "11", "--plain", *LOSING),
    "faust_rebalance": ("faust_rebalance",),
    "faust_rebalance unrepaired": (
        "faust_rebalance",
        "--seeds",
        "21",
        "22",
        "23",
        "--unsafe",
        "all",
        *LOSING,
    ),
    "as_of_answers": ("as_of_answers",),
    "demo": ("demo",),
}
"""Section of the page, and the module with its arguments; the quick ones first."""


def run(name: str) -> str:
    """Runs one benchmark, prints what it prints, and returns it as a section of the page."""
    module, *arguments = BENCHMARKS[name]
    command = [sys.executable, "-P", "-m", f"bench.{module}", *arguments]
    print(f"== {name}", flush=True)
    before = f"load average {os.getloadavg()[0]:.1f} before"
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    code = process.wait()
    ended = "" if code == 0 else f", **exit code {code}**"
    shown = " ".join(("python -m", f"bench.{module}", *arguments))
    return (
        f"## {name}\n\n`{shown}`, opoi {version('opoi')}, {datetime.now(UTC):%Y-%m-%d}, {before}, "
        f"{time.monotonic() - begun:.0f} s{ended}\n\n```text\n{''.join(lines)}```\n"
    )


def sections_of(page: Path) -> dict[str, str]:
    """The sections that the page has, by benchmark."""
    if not page.is_file():
        return {}
    _, *found = page.read_text().split("\n## ")
    return {each.split("\n", 1)[0]: f"## {each.rstrip()}\n" for each in found}


def machine() -> str:
    """What the figures were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def main() -> None:
    """Prints all tables; exit code 3 where one missed its target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="all of them where none is named")
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    head = (
        f"# Benchmarks\n\n{machine()}. Written by `make bench`; absolute figures are this machine's, ratios "
        "hold elsewhere too.\n"
    )
    sections = {name: run(name) for name in given.names or BENCHMARKS}
    if given.write is not None:
        known = {**sections_of(given.write), **sections}
        given.write.write_text("\n".join([head, *(known[name] for name in BENCHMARKS if name in known)]))
    raise SystemExit(3 if any("**exit code" in each for each in sections.values()) else 0)


if __name__ == "__main__":
    main()
