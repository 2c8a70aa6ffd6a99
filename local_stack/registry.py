"""The schema registry of a one-machine stack: Apicurio, its state in one H2 file."""

from collections.abc import Sequence
from pathlib import Path

from local_stack import start_cache
from local_stack.downloads import REGISTRY
from local_stack.java import JAVA_OPTIONS
from local_stack.ports import free_port
from local_stack.progress import Progress
from streams.health.probes import answers_http


def command(java: Path, folder: Path, data: Path, port: int, options: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that runs the registry of `folder` in the foreground, its state in `data`."""
    return (
        str(java),
        *options,
        "-Xms64m",
        "-Xmx384m",
        *JAVA_OPTIONS,
        "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={port}",
        "-Dquarkus.banner.enabled=false",
        # it would listen on 0.0.0.0:9000
        "-Dquarkus.management.host-enabled=false",
        "-Dquarkus.otel.sdk.disabled=true",
        "-Dapicurio.storage.kind=sql",
        f"-Dapicurio.datasource.url=jdbc:h2:file:{data}/registry",
        "-jar",
        str(folder / "quarkus-run.jar"),
    )


def answers(port: int) -> bool:
    """Whether the registry at `port` answers now."""
    return answers_http(f"http://127.0.0.1:{port}/apis/ccompat/v7/subjects")


def quick_start(java: Path, folder: Path, cache: Path, progress: Progress) -> tuple[str, ...]:
    """Options of Java for a quick start of the registry."""

    def trial(data: Path) -> start_cache.Trial:
        port = free_port()
        return start_cache.Trial(list(command(java, folder, data, port)), lambda: answers(port))

    return start_cache.options(REGISTRY.title, folder, java, cache, trial, progress)
