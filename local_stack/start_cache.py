"""Java's ahead-of-time caches: a server whose classes were linked once starts in a third of the time.

A trial run of the server writes the cache and ends as soon as the server answers (JEP 514, Java 25 and
later). Java ignores a cache that does not fit the runtime or the jars: a stale or lost one only costs time.
"""

import fcntl
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_stack.java import java_version
from local_stack.progress import Progress
from schemas.child_environment import SYSTEM, kept
from streams.errors import UserError

OLDEST = 25
FOLDER = "start-caches"
TRIAL_SECONDS = 180
QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""No warning for a part of a cache that does not fit this processor: Java makes it again."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A server that runs for a moment: `command` has the runtime first, `ready` tells whether it answers."""

    command: list[str]
    ready: Callable[[], bool]


def options(
    title: str, jars: Path, java: Path, cache: Path, trial: Callable[[Path], Trial], progress: Progress
) -> tuple[str, ...]:
    """Options of `java` that start the server `title` of the folder `jars` quickly; the first call records.

    `trial` makes the server, with its data in the given folder. No options if the runtime is too old, or if
    the recording failed, which is reported; the server starts all the same.
    """
    target = cache / FOLDER / f"{jars.name}-{_fingerprint(jars, java)}.aot"
    if not target.is_file():
        if (java_version(java) or 0) < OLDEST:
            return ()
        try:
            _record(target, title, jars.name, trial, progress)
        except (OSError, UserError) as error:
            progress.line(f"{title} will start slowly, because it has no start cache: {error}")
            return ()
    return (f"-XX:AOTCache={target}", *QUIET)


def _fingerprint(jars: Path, java: Path) -> str:
    """Another runtime, or jars that were fetched again, need another cache."""
    release = java.resolve().parent.parent / "release"
    parts = [release.read_text() if release.is_file() else str(java)]
    for jar in sorted(jars.rglob("*.jar")):
        found = jar.stat()
        parts.append(f"{jar} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _record(target: Path, title: str, name: str, trial: Callable[[Path], Trial], progress: Progress) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():  # another process recorded it while this one waited
            return
        begun = time.monotonic()
        progress.line(f"{title}: a trial run for quick starts (once)")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".recording-") as scratch:
            made = Path(scratch) / "made.aot"
            _run(trial(Path(scratch)), made)
            for old in target.parent.glob(f"{name}-*.aot"):
                old.unlink()
            made.rename(target)
        progress.line(f"{title}: trial run done in {time.monotonic() - begun:.0f} s")


def _run(server: Trial, made: Path) -> None:
    """Starts the server, ends it as soon as it answers, and waits until the cache is written."""
    java, *rest = server.command
    log = made.with_suffix(".log")
    deadline = time.monotonic() + TRIAL_SECONDS
    with log.open("wb") as out:
        process = subprocess.Popen(
            [java, f"-XX:AOTCacheOutput={made}", *rest],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=kept(SYSTEM),
        )
        try:
            while not server.ready() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            process.terminate()
            process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise UserError(f"its trial run did not end within {TRIAL_SECONDS} s") from None
        finally:
            process.kill()
            process.wait()
    if not made.is_file():
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"its trial run ended with {process.returncode} and wrote none: {last}")
