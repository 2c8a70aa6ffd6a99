"""Kafka and the schema registry as files: downloaded once by their Maven coordinates, checked, kept.

Each artifact is one folder in the cache. The folder appears by a rename, after its content was compared with
the digest written here, so an interrupted download never counts as a whole one.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.progress import Progress
from streams.errors import UserError

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content of Maven coordinates.

    With `archive` the first coordinate is a tar.gz that is unpacked; otherwise the folder has all jars that
    the coordinates need at run time. `sha256` covers names and contents, see `digest`.
    """

    title: str
    folder: str
    coordinates: tuple[tuple[str, str, str], ...]
    megabytes: int
    sha256: str
    archive: bool = False


KAFKA = Artifact(
    title="Apache Kafka 4.3.1",
    folder="kafka-4.3.1",
    # without an slf4j binding the broker logs nothing
    coordinates=(("org.apache.kafka", "kafka_2.13", "4.3.1"), ("org.slf4j", "slf4j-simple", "1.7.36")),
    megabytes=44,
    sha256="9b241538730d32e890117f2362eee3ff6ed60f753d73e6a46652b547a64df32f",
)
REGISTRY = Artifact(
    title="Apicurio Registry 3.3.3",
    folder="apicurio-registry-3.3.3",
    coordinates=(("io.apicurio", "apicurio-registry-app", "3.3.3"),),
    megabytes=159,
    sha256="f136b38102260cf5c665f62ab833d54a1d42ca32ad3d6c497c9722dcac29aaf4",
    archive=True,
)


def cache_folder(chosen: Path | None) -> Path:
    """The folder of artifacts: `chosen`, else `opoi` in the user's cache folder."""
    if chosen is not None:
        return chosen.expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "opoi"


def fetch(artifact: Artifact, cache: Path, progress: Progress, maven_url: str | None = None) -> Path:
    """The folder of `artifact`, downloaded if `cache` lacks it.

    Raises `UserError`: no network, a full disk, or content that differs from the tested release.
    """
    folder = cache / artifact.folder
    if folder.is_dir():
        return folder
    try:
        with _alone(cache):
            if not folder.is_dir():  # another process may have fetched it while this one waited
                _fetch(artifact, folder, progress, maven_url)
    except OSError as error:
        raise UserError(_in_words(artifact, folder, error)) from None
    return folder


def digest(files: list[Path]) -> str:
    """sha256 over the files' names and contents, independent of their order."""
    lines = []
    for file in sorted(files, key=lambda file: file.name):
        with file.open("rb") as content:
            lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _fetch(artifact: Artifact, folder: Path, progress: Progress, maven_url: str | None) -> None:
    progress.line(f"downloading {artifact.title} ({artifact.megabytes} MB, once)")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        try:
            files = _download(artifact, Path(scratch) / "repository", progress, maven_url)
        except RuntimeError as error:
            # jgo raises this if no repository has the file
            raise UserError(
                f"{artifact.title} cannot be downloaded from {maven_url or 'Maven Central'} "
                f"({' '.join(str(error).split())}): set OPOI_MAVEN_URL to a mirror that has it, or copy "
                f"{folder.name} into {folder.parent}"
            ) from None
        size = sum(file.stat().st_size for file in files)
        found = digest(files)
        if found != artifact.sha256:
            raise UserError(
                f"downloaded {artifact.title} has the digest {found}, not {artifact.sha256}: it is damaged "
                "or not the tested release; run the command again, or check OPOI_MAVEN_URL",
                exit_code=1,
            )
        ready = Path(scratch) / artifact.folder
        ready.mkdir()
        if artifact.archive:
            progress.working(f"unpacking {artifact.title}")
            with tarfile.open(files[0]) as archive:
                _unpack(archive, ready)
        else:
            for file in files:
                file.rename(ready / file.name)
        ready.rename(folder)
    progress.line(
        f"downloaded {artifact.title}: {size / MEGABYTE:.0f} MB in {time.monotonic() - begun:.0f} s"
    )


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpacks an archive whose digest is known."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:  # Python before 3.11.4, which Debian 12 still has
        archive.extractall(folder)


def _download(artifact: Artifact, repository: Path, progress: Progress, maven_url: str | None) -> list[Path]:
    from jgo.maven import Dependency, MavenContext, PythonResolver

    done = 0

    @contextmanager
    def watch(name: str, total: int) -> Iterator[Callable[[int], None]]:
        def add(count: int) -> None:
            nonlocal done
            done += count
            progress.working(f"{artifact.title}: {done / MEGABYTE:.0f} of {artifact.megabytes} MB, {name}")

        yield add

    callback: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = watch
    context = MavenContext(
        repo_cache=repository,
        local_repos=[],
        resolver=PythonResolver(progress_callback=callback),
        remote_repos={"chosen": maven_url} if maven_url else None,
    )
    components: list[Any] = [context.project(g, a).at_version(v) for g, a, v in artifact.coordinates]
    if artifact.archive:
        return [components[0].artifact(classifier="all", packaging="tar.gz").resolve()]
    chosen, needed = context.resolver.resolve([Dependency(part.artifact()) for part in components])
    at_run_time = [*chosen, *(item for item in needed if item.scope in ("compile", "runtime"))]
    return [item.artifact.resolve() for item in at_run_time]


def _in_words(artifact: Artifact, folder: Path, error: OSError) -> str:
    from requests import RequestException

    if isinstance(error, RequestException):
        return (
            f"{artifact.title} ({artifact.megabytes} MB) cannot be downloaded ({type(error).__name__}): "
            f"go online once, set OPOI_MAVEN_URL to a mirror, or copy {folder.name} into {folder.parent}"
        )
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(folder.parent).free / MEGABYTE
        return (
            f"{artifact.title} needs about {2 * artifact.megabytes} MB in {folder.parent}, "
            f"{free:.0f} MB are free: free some, or set OPOI_CACHE to a folder on another disk"
        )
    return f"{artifact.title} cannot be stored in {folder.parent}: {error.strerror}; change OPOI_CACHE"


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the cache's lock: two processes do not download the same file at the same time."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
