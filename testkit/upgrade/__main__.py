"""An upgrade from a released version, in place.

`python -m testkit.upgrade soak v0.2.1`: a stack of that tag's source is filled, stopped with data in flight,
brought up by this checkout, drained and compared. `python -m testkit.upgrade archive v0.2.1`: a small one is
filled and kept for CI, as `tests/upgrade/VERSION/stack.tar.xz` with its manifest `stack.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testkit.running_stack import free_base
from testkit.upgrade.archive import pack, settle
from testkit.upgrade.census import Census
from testkit.upgrade.fill import FILLING, LASTING, fill
from testkit.upgrade.stack import Stack
from testkit.upgrade.upgrade import drain, faults, forgotten

ROOT = Path(__file__).parents[2]
RELEASES = ROOT / "tests" / "upgrade"
OWN = Path(sys.executable).with_name("opoi")
UPGRADING = {**LASTING, "OPOI_WORKER__DLQ_LIMIT_PAUSE_SECONDS": "1"}


def released(tag: str, folder: Path) -> Path:
    """The command `opoi` of a tag's source, installed below `folder`."""
    folder.mkdir()
    source = subprocess.run(["git", "archive", tag], cwd=ROOT, stdout=subprocess.PIPE)
    if source.returncode:
        raise SystemExit(f"this clone has no {tag}: run `git fetch --tags`")
    subprocess.run(["tar", "-x"], cwd=folder, input=source.stdout, check=True)
    subprocess.run(["make", "setup"], cwd=folder, check=True)
    return folder / ".venv" / "bin" / "opoi"


def archive(tag: str, folder: Path, demo: int, each: int) -> None:
    """Fills a stack of `tag` and writes archive and manifest."""
    stack = Stack(folder / "home", released(tag, folder / "source"), FILLING)
    version = stack.opoi("--version").split()[-1]
    try:
        stack.opoi("up", "--port-base", str(free_base()))
        manifest = fill(stack, demo=demo, each=each)
        merged = settle(stack)
    finally:
        stack.opoi("down")
    target = RELEASES / version / "stack.tar.xz"
    target.parent.mkdir(exist_ok=True)
    pack(stack.home, target, merged)
    lines = (f"{json.dumps(name)}: {json.dumps(part)}" for name, part in manifest.items())
    target.with_name("stack.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{target}: {target.stat().st_size} bytes")


def soak(tag: str, folder: Path, demo: int, each: int) -> list[str]:
    """Fills a stack of `tag`, upgrades it in place and lets it drain; what did not come out."""
    old = Stack(folder / "home", released(tag, folder / "source"), FILLING)
    base = str(free_base())
    try:
        old.opoi("up", "--port-base", base)
        manifest: Census = json.loads(json.dumps(fill(old, demo=demo, each=each)))
    finally:
        old.opoi("down")
    new = Stack(old.home, OWN, UPGRADING)
    begun = time.time()
    try:
        new.opoi("up", "--port-base", base)
        drain(new, manifest)
        found = faults(new, manifest)
    finally:
        new.opoi("down")
    return [*found, *forgotten(new, manifest, begun)]


def main() -> None:
    """Exit code 1 where something is lost."""
    parser = argparse.ArgumentParser(prog="python -m testkit.upgrade", description=__doc__)
    parser.add_argument("what", choices=["archive", "soak"])
    parser.add_argument("tag")
    parser.add_argument("--demo", type=int, help="decisions that go all the way")
    parser.add_argument("--each", type=int, help="decisions of each way of being in flight")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opoi-upgrade-") as folder:
        if given.what == "archive":
            archive(given.tag, Path(folder), given.demo or 6, given.each or 2)
            return
        found = soak(given.tag, Path(folder), given.demo or 60, given.each or 20)
    print("\n".join(found or [f"an upgrade from {given.tag} lost and doubled nothing"]))
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
