"""Start caches are recorded once, by a trial run of the server; without one all starts the same."""

import os
import threading
from pathlib import Path

import pytest

from local_stack.start_cache import Trial, options
from tests.unit.local_stack.said import Said

RUNTIME = """#!/bin/sh
case "$1" in
-version) echo 'openjdk version "{version}"' >&2; exit 0;;
-XX:AOTCacheOutput=*) made="${{1#*=}}";;
esac
{body}
"""
WRITES = """trap 'echo recorded > "$made"; exit 143' TERM
touch "$2"
while :; do sleep 0.02; done"""


class Lines(Said):
    """What was said of a trial run, which has nothing to say in between."""

    def working(self, text: str) -> None:
        raise AssertionError(text)


class Machine:
    """A folder with jars, a runtime that is a shell script, and a server that answers once it made a file."""

    def __init__(self, folder: Path, version: str = "25.0.2", body: str = WRITES) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.jars = self.cache / "server-1.0"
        self.jars.mkdir(parents=True)
        (self.jars / "one.jar").write_bytes(b"jar")
        self.java = folder / "java"
        self.java.write_text(RUNTIME.format(version=version, body=body))
        self.java.chmod(0o755)
        self.trials: list[Path] = []
        self.said = Lines()

    def options(self) -> tuple[str, ...]:
        def trial(scratch: Path) -> Trial:
            self.trials.append(scratch)
            answers = scratch / "answers"
            return Trial([str(self.java), str(answers)], answers.exists)

        return options("Server 1.0", self.jars, self.java, self.cache, trial, self.said)

    def caches(self) -> list[Path]:
        return sorted((self.cache / "start-caches").glob("*.aot"))


def test_it_is_recorded_once_and_used_from_then_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    first = machine.options()
    assert machine.options() == first
    assert len(machine.trials) == 1
    assert not machine.trials[0].exists()
    [made] = machine.caches()
    assert first[0] == f"-XX:AOTCache={made}"
    assert made.read_text() == "recorded\n"
    assert machine.said.lines == [
        "Server 1.0: a trial run for quick starts (once)",
        "Server 1.0: trial run done in 0 s",
    ]


def test_jars_that_were_fetched_again_are_recorded_anew_and_nothing_piles_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    first = machine.options()
    os.utime(machine.jars / "one.jar", (1, 1))
    assert machine.options() != first
    assert len(machine.trials) == 2
    assert len(machine.caches()) == 1


def test_side_by_side_one_records_and_the_others_wait(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(machine.options())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(machine.trials) == 1


def test_an_older_runtime_starts_without(tmp_path: Path) -> None:
    machine = Machine(tmp_path, version="24.0.1")
    assert machine.options() == ()
    assert machine.trials == []
    assert machine.said.lines == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo 'no room for it' >&2; exit 3", "its trial run ended with 3 and wrote none: no room for it"),
        ("exit 0", "its trial run ended with 0 and wrote none: it said nothing"),
    ],
)
def test_what_cannot_be_recorded_is_said_and_the_server_starts_all_the_same(
    tmp_path: Path, body: str, why: str
) -> None:
    machine = Machine(tmp_path, body=body)
    assert machine.options() == ()
    assert machine.said.lines[-1] == f"Server 1.0 will start slowly, because it has no start cache: {why}"
    assert machine.caches() == []


def test_a_folder_that_takes_no_cache_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.cache / "start-caches").write_text("in the way")
    assert machine.options() == ()
    assert "start-caches" in machine.said.lines[-1]


def test_a_server_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_stack.start_cache.TRIAL_SECONDS", 0.3)
    machine = Machine(tmp_path, body="trap '' TERM; while :; do sleep 0.02; done")
    assert machine.options() == ()
    assert machine.said.lines[-1].endswith("its trial run did not end within 0.3 s")
