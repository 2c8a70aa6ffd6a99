"""The name of the compile cache and of the base model covers every source that they depend on."""

import ast
from pathlib import Path

from local_stack.model import compiled

FOLDER = Path(compiled.__file__).parent
# where files lie changes neither machine code nor weights
ANY = {"files"}


def test_what_a_hashed_source_imports_is_hashed_too() -> None:
    for name in compiled.SOURCES:
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        ours = {each.rpartition(".")[2] for each in imports if each.startswith("local_stack.model.")}
        assert ours <= {*compiled.SOURCES, *ANY}, name


def test_every_module_with_compiled_functions_is_hashed() -> None:
    found = {file.stem for file in FOLDER.glob("*.py") if "\n@compiled" in file.read_text()}
    assert "sample_turn" in found
    assert found <= set(compiled.SOURCES)
