"""Reduces the environment of a child process to the variables that it is listed to need.

A child must not have a key that it never uses: it could print or dump it. `kept` is for children that are
started directly. The supervisor passes its own environment on, so under it this file is a program in front of
the child's command (`python -I -S child_environment.py NAMES COMMAND...`) and imports the standard library
alone. `NAMES` are names of variables in upper case, separated by commas, `*` for any characters; the case of
a variable's name does not matter.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

SYSTEM = ("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
GIT = (*SYSTEM, "GIT_*")
RUFF = (*SYSTEM, "RUFF_*", "XDG_CACHE_HOME")


def settings_of(*groups: str) -> tuple[str, ...]:
    """Names of all variables of these groups of settings."""
    return tuple(name for group in groups for name in (f"OPOI_{group}", f"OPOI_{group}__*"))


def kept(names: Iterable[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of `environment` whose names match `names`."""
    patterns = tuple(names)
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in patterns)
    }


def command(names: Iterable[str]) -> tuple[str, ...]:
    """The words in front of a child's command that make it run with these variables alone."""
    return (sys.executable, "-I", "-S", os.path.abspath(__file__), ",".join(names))


if __name__ == "__main__":
    _, listed, *arguments = sys.argv
    try:
        os.execve(arguments[0], arguments, kept(listed.split(",")))
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error.strerror}")
