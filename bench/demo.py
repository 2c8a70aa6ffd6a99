"""The README's first command on a machine that knows nothing of opoi: `make demo` in a fresh clone, twice.

`python -m bench.demo [--repository FOLDER]`. What is committed is cloned into a temporary folder; HOME and
the cache are empty, and no Java is on the PATH. The seconds that the run itself prints for installing and
fetching are taken off: they are the network's. Without a network it is NOT RUN. Exit code 3 over a limit, or
where a run failed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from streams.cli.output import table

ROOT = Path(__file__).parents[1]
LIMITS = {"first": 360.0, "second": 120.0}
NETWORK = re.compile(r"^(?:installed|downloaded .*) in (\d+) s$", re.MULTILINE)
# what would lead the clone to this process's own Python, stack or make
OWN = re.compile(r"PYTHON.*|VIRTUAL_ENV|JAVA_HOME|MAKE.*|MFLAGS|XDG_.*|OPOI_(?!MAVEN_URL$).*")


def path_without_java(scratch: Path) -> str:
    """PATH, where a folder that has a Java is replaced by links to all else in it."""
    found = []
    for number, folder in enumerate(map(Path, os.environ["PATH"].split(os.pathsep))):
        if (folder / "java").exists():
            links = scratch / f"path-{number}"
            links.mkdir()
            for each in folder.iterdir():
                if each.name != "java":
                    (links / each.name).symlink_to(each)
            folder = links
        found.append(str(folder))
    return os.pathsep.join(found)


def environment(scratch: Path) -> dict[str, str]:
    """A new user's, on a machine without Java."""
    kept = {name: value for name, value in os.environ.items() if not OWN.fullmatch(name)}
    for name in ("home", "cache"):
        (scratch / name).mkdir()
    own = {"HOME": str(scratch / "home"), "XDG_CACHE_HOME": str(scratch / "cache")}
    return {**kept, **own, "PATH": path_without_java(scratch)}


def no_network(scratch: Path, variables: dict[str, str]) -> str | None:
    """Why nothing can be installed from here; None where it can."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0"]
    done = subprocess.run(
        [*command, "--dest", scratch / "probe", "pip"], env=variables, capture_output=True, text=True
    )
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def make_demo(clone: Path, variables: dict[str, str]) -> tuple[int, float, str]:
    """Exit code, seconds, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, time.monotonic() - begun, done.stdout


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT, help="what is cloned (default: this one)")
    given = parser.parse_args()
    rows = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as folder:
        scratch = Path(folder)
        clone = scratch / "opoi"
        subprocess.run(["git", "clone", "--quiet", given.repository, clone], check=True)
        variables = environment(scratch)
        if reason := no_network(scratch, variables):
            print(f"NOT RUN, there is no network: {reason}")
            return
        try:
            for name, limit in LIMITS.items():
                code, took, said = make_demo(clone, variables)
                network = sum(map(int, NETWORK.findall(said)))
                own = took - network
                shown = (f"{took:.0f}", str(network), f"{own:.0f}", f"{limit:g}")
                rows.append((name, str(code), *shown))
                if code:
                    sys.stderr.write(said)
                failed = failed or code != 0 or own > limit
        finally:
            opoi = clone / ".venv" / "bin" / "opoi"
            if opoi.exists():
                subprocess.run([opoi, "down"], cwd=clone, env=variables, stdout=subprocess.DEVNULL)
    print(table(("RUN", "EXIT CODE", "SECONDS", "OF THEM NETWORK", "WITHOUT IT", "AT MOST"), rows))
    raise SystemExit(3 if failed else 0)


if __name__ == "__main__":
    main()
