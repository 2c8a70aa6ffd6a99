"""What each child process finds in its environment: one list a process, everything else is left out.

A child needs no key that it never uses: what it prints, dumps or lets be read holds none then. `kept` is for
children that are started directly; under the supervisor, which hands its own environment on, this file is
the program that goes before the child's own (`python -I -S child_environment.py NAME COMMAND...`), so it
imports nothing but the standard library.
"""

import os
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase

SYSTEM = ("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
STACK = (*SYSTEM, "OPOI_HOME", "OPOI_STACK", "PYTHONUNBUFFERED")
# a broker, registry or model elsewhere may be behind a proxy, or have a certificate of the company
NETWORK = ("*_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


def _settings(*groups: str) -> tuple[str, ...]:
    return tuple(name for group in groups for name in (f"OPOI_{group}", f"OPOI_{group}__*"))


WORKER = (
    *STACK,
    *NETWORK,
    *_settings("KAFKA", "REGISTRY", "PIPELINE", "WORKER", "METRICS", "LOG", "LOCAL"),
    "OPOI_UNSAFE_FAUST",
)

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "kafka": STACK,
    "registry": STACK,
    "clickhouse": STACK,
    "model": (*STACK, "XDG_CACHE_HOME", "*_NUM_THREADS"),
    "ads": STACK,
    "ticker": WORKER,
    "join": WORKER,
    # the secret of the oracle's wording, and which agents have an endpoint
    "trigger": (*WORKER, *_settings("REPLAY")),
    "sanitize": (*WORKER, *_settings("REPLAY")),
    "replay": (*WORKER, *_settings("REPLAY", "MODEL"), "GOOGLE_*", "CLOUDSDK_CONFIG"),
    "sink": (*WORKER, *_settings("CLICKHOUSE")),
    # a runtime that is asked for its version, a folder that is formatted, a trial run
    "java": SYSTEM,
    "git": (*SYSTEM, "GIT_*"),
    "ruff": (*SYSTEM, "RUFF_*", "XDG_CACHE_HOME"),
}
"""Names of variables by process, in upper case, `*` for anything; any case of a name counts."""


def kept(process: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of `environment` that `process` gets."""
    return _matching(PROCESSES[process], environment)


def kept_for_all(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of `environment` that any process gets: the supervisor's own."""
    return _matching([name for names in PROCESSES.values() for name in names], environment)


def command(process: str) -> tuple[str, ...]:
    """What goes before the command of `process`, in place of which that then runs, with what it gets."""
    return (sys.executable, "-I", "-S", os.path.abspath(__file__), process)


def _matching(patterns: tuple[str, ...] | list[str], environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in patterns)
    }


if __name__ == "__main__":
    _, name, *arguments = sys.argv
    try:
        os.execve(arguments[0], arguments, kept(name))
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error.strerror}")
