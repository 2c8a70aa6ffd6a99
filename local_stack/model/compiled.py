"""Numba with a compile cache that can be trusted.

Numba's own cache looks at the file of a function alone, so that a change in a module it calls into goes
unnoticed; here the folder's name is a hash of all the sources that compiled code or weights depend on.
"""

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from local_stack.model.files import cache_folder

SOURCES = (
    "buckets", "compiled", "corpus", "engine", "features", "grammar", "note", "phrases", "pretraining",
    "sample_turn", "scripts", "speech", "vocabulary", "weights", "world",
)  # fmt: skip
Function = TypeVar("Function", bound=Callable[..., object])


@cache
def source_hash() -> str:
    """Hash of the code that compiled functions and weights depend on."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(_without_imports((Path(__file__).parent / f"{name}.py").read_text()).encode())
    return digest.hexdigest()[:16]


def _without_imports(source: str) -> str:
    # a module that only moves must not make tuned models void
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for number in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[number] = ""
    return "\n".join(line for line in lines if line)


def compiled(function: Function) -> Function:
    """`numba.njit` without the interpreter's lock, its machine code cached on disk."""
    return _compiled(function, None)


def compiled_as(signature: str) -> Callable[[Function], Function]:
    """The same for one signature: without it, each caller's own types of integers compile the function anew,
    which is most of the time of a first start."""
    return lambda function: _compiled(function, signature)


def _compiled(function: Function, signature: str | None) -> Function:
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder() / f"compiled-{source_hash()}")
    try:
        return cast(Function, numba.njit(signature, cache=True, nogil=True)(function))
    finally:
        config.CACHE_DIR = before
