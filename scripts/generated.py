"""Writes generated files, or says which of them are stale."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.errors import CatalogError


def stale_of(wanted: Mapping[Path, str]) -> list[Path]:
    """The files that are not as `wanted`; an empty text means that there must be no such file."""
    return [path for path, text in wanted.items() if (path.read_text() if path.exists() else "") != text]


def write_or_check(wanted: Mapping[Path, str], arguments: list[str]) -> int:
    """Writes the stale files, or with `--check` among `arguments` only names them on stderr.

    Exit code 3 where one is stale and not written.
    """
    stale = stale_of(wanted)
    for path in stale:
        if "--check" in arguments:
            sys.stderr.write(f"{path} is stale: run `make generate`\n")
        elif wanted[path]:
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 3 if stale and "--check" in arguments else 0


def run(wanted: Callable[[], Mapping[Path, str]], arguments: list[str]) -> int:
    """Does `write_or_check` with what `wanted` returns. Exit code 2 where a file of the catalog is wrong: stderr
    says which."""
    try:
        made = wanted()
    except CatalogError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return write_or_check(made, arguments)
