"""What a child process finds in its environment: what it is listed to need, everything else is left out.

A child needs no key that it never uses: what it prints, dumps or lets be read holds none then. `kept` is for
children that are started directly; under the supervisor, which hands its own environment on, this file is
the program that goes before the child's own (`python -I -S child_environment.py NAMES COMMAND...`), so it
imports nothing but the standard library. `NAMES` are names of variables in upper case between commas, `*` for
anything; any case of a name counts.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

SYSTEM = ("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
GIT = (*SYSTEM, "GIT_*")
RUFF = (*SYSTEM, "RUFF_*", "XDG_CACHE_HOME")


def settings_of(*groups: str) -> tuple[str, ...]:
    """Variables of whole groups of settings."""
    return tuple(name for group in groups for name in (f"OPOI_{group}", f"OPOI_{group}__*"))


def kept(names: Iterable[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of `environment` that a child with these names gets."""
    patterns = tuple(names)
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in patterns)
    }


def command(names: Iterable[str]) -> tuple[str, ...]:
    """What goes before the command of a child, in place of which that then runs, with what it gets."""
    return (sys.executable, "-I", "-S", os.path.abspath(__file__), ",".join(names))


if __name__ == "__main__":
    _, listed, *arguments = sys.argv
    try:
        os.execve(arguments[0], arguments, kept(listed.split(",")))
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error.strerror}")
