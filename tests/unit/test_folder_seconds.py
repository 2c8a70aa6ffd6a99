"""A folder of tests that takes longer than its budget fails the run, and the run says which."""

import subprocess
import sys
from pathlib import Path

import pytest

from testkit.folder_seconds import over_budget

ROOT = Path(__file__).parents[2]
TEST = "import time\n\n\ndef test_it() -> None:\n    time.sleep(0.01)\n"


def test_what_is_over_its_budget_or_has_none_is_named() -> None:
    found = over_budget({"tests/a": 2.0, "tests/b": 1.0, "tests/c": 30.0}, {"tests/a": 1.5, "tests/b": 1.0})

    assert found == ["tests/a took 2.0 s, its budget is 1.5 s", "tests/c has no budget: it took 30.0 s"]


@pytest.mark.parametrize(
    ("budgets", "code", "line"),
    [
        ("tests/quick\t60\n", 0, ""),
        ("tests/quick\t0\n", 1, "OVER BUDGET: tests/quick took 0.0 s, its budget is 0.0 s"),
        ("tests/other\t60\n", 1, "OVER BUDGET: tests/quick has no budget: it took 0.0 s"),
    ],
)
@pytest.mark.parametrize("parallel", [(), ("--numprocesses", "2")], ids=["alone", "parallel"])
def test_a_run_fails_over_a_budget(
    tmp_path: Path, budgets: str, code: int, line: str, parallel: tuple[str, ...]
) -> None:
    (tmp_path / "tests" / "quick").mkdir(parents=True)
    (tmp_path / "tests" / "quick" / "test_quick.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "budgets.tsv").write_text(budgets)
    command = [sys.executable, "-P", "-m", "pytest", "-p", "testkit.folder_seconds", *parallel]

    done = subprocess.run(
        [*command, "--folder-seconds", "budgets.tsv", "tests"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == code, done.stdout + done.stderr
    assert line in done.stdout
    assert "tests/quick" in done.stdout
