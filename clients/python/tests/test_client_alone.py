"""The client stands alone: it imports nothing of the pipeline, and little of anything else."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import opoi_client

PACKAGE = Path(opoi_client.__file__).parent
MODULES = sorted(PACKAGE.glob("**/*.py"))
PIPELINE = {"schemas", "agent", "sinks", "streams", "examples", "bench", "tests"}
ALLOWED = {"opoi_client", "fastavro"}


def imported(module: Path) -> set[str]:
    """The first names of everything that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_the_package_asks_for(module: Path) -> None:
    allowed = ALLOWED | ({"confluent_kafka"} if module.stem == "kafka" else set())
    assert imported(module) - sys.stdlib_module_names <= allowed


def test_it_runs_with_nothing_of_the_pipeline_in_reach() -> None:
    names = [f"opoi_client.{path.stem}" for path in MODULES if path.stem != "__init__"]
    script = f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {PIPELINE!r}:
            raise AssertionError(name)
sys.meta_path.insert(0, Refuse())
import importlib
for name in {names!r}:
    importlib.import_module(name)
"""
    ended = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_package_asks_for_no_more() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert [one.split(">")[0] for one in project["dependencies"]] == ["fastavro"]
    assert [one.split("[")[0] for one in project["optional-dependencies"]["kafka"]] == ["confluent-kafka"]
