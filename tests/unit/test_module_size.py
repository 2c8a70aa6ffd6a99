"""No module grows without end: one that is too long is split by ideas."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 300
GENERATED = {"schemas/records.py"}


def test_no_module_is_too_long() -> None:
    command = ["git", "ls-files", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    modules = [name for name in listed if "tests" not in Path(name).parts and name not in GENERATED]
    lengths = {
        name: len((ROOT / name).read_text().splitlines()) for name in modules if (ROOT / name).exists()
    }
    assert len(lengths) > 300, "git lists too few modules"
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}
