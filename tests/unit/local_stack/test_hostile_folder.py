"""A working folder with packages of our names: no child of the stack imports them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.home import Home
from local_stack.processes import BASE, PYTHON, Runtime, table
from schemas.child_environment import command
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
HOSTILE = 'open("imported", "a").write(__name__)\n'
RUNTIME = Runtime(java=Path("/opt/java"), kafka=Path("/opt/kafka"), registry=Path("/opt/registry"))
MODULES = {
    **{one.name: one.command for one in table(Settings(), Home(Path("/srv/home")), RUNTIME)},
    "supervisor": (*PYTHON, "-m", "supervisor.supervisord"),
}
BEFORE = len(command(()))
"""Words before the command of a process: what gives it its environment."""
CHILDREN = ["supervisor", *(name for name in MODULES if MODULES[name][BEFORE:][:1] == (sys.executable,))]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that any of our children would trip over, were it on the path."""
    for package in ("agent", "streams", "schemas", "sinks", "supervisor"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(HOSTILE)
    for module in ("yaml", "typer", "json", "random"):
        (tmp_path / f"{module}.py").write_text(HOSTILE)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_children_in_python_are_those_that_are_tried() -> None:
    assert set(CHILDREN) >= {"clickhouse", "model", "ads", "ticker", "join", "replay", "sink", "supervisor"}
    assert set(BASE) - set(CHILDREN) == {"kafka", "registry"}


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_imports_nothing_of_the_working_folder(hostile: Path, name: str) -> None:
    done = subprocess.run([*MODULES[name], "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile / "imported").exists()


def test_without_the_flag_the_folder_would_be_imported(hostile: Path) -> None:
    subprocess.run([sys.executable, "-m", "streams.cli.main", "--help"], capture_output=True, timeout=60)
    assert (hostile / "imported").exists()


def _children(path: Path) -> Iterator[ast.List | ast.Tuple]:
    """Every command in a source that begins with this Python and says what to run."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1:
            first, *_ = node.elts
            if ast.unparse(first) == "sys.executable":
                yield node


def test_every_child_in_python_is_started_without_the_working_folder() -> None:
    folders = (
        "streams",
        "agent",
        "sinks",
        "schemas",
        "local_stack",
        "testkit",
        "bench",
        "tests",
        "clients",
        "examples",
    )
    found = [
        (str(path.relative_to(ROOT)), node.lineno, ast.unparse(node.elts[1]))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in _children(path)
        if path != Path(__file__)
    ]
    assert len(found) > 15
    assert [one for one in found if one[2] not in ("'-P'", "'-I'")] == []
