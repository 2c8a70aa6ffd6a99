"""The demo on a stack of its own, while every process is killed once: nothing lost, nothing doubled."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.kafka_clients import make_admin
from streams.local.home import Home
from streams.local.supervise import Supervisor
from streams.settings import Settings, load_settings
from tests.running_stack import environment, free_base

pytestmark = [pytest.mark.stack, pytest.mark.faults, pytest.mark.timeout(900)]

DECISIONS = 40
WORKERS = ("join", "trigger", "replay", "sanitize", "sink", "ticker")


def opoi(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One call of the command line for the stack at `folder`."""
    command = [sys.executable, "-m", "streams.cli.main", *words]
    return subprocess.run(command, env=environment(folder), capture_output=True, text=True)


def log_end(folder: Path, name: str) -> str:
    """The last lines of a log, short enough that those of all processes are read together."""
    lines = opoi(folder, "logs", name, "-n", "12").stdout.splitlines()
    return "\n".join([f"{name}:", *(line[:160] for line in lines)])


def kill(folder: Path, name: str) -> None:
    """kill -9 of one process of the stack, and of what it keeps."""
    status = json.loads(opoi(folder, "status", "--json").stdout)
    [pid] = [one["pid"] for one in status["processes"] if one["name"] == name]
    assert pid, f"{name} does not run: {status}"
    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack of its own, with workers."""
    made = tmp_path_factory.mktemp("demo") / "home"
    started = opoi(made, "up", "--port-base", str(free_base()))
    assert started.returncode == 0, started.stderr
    yield made
    assert opoi(made, "down").returncode == 0


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    """What the demo says of itself, after each process was killed once while it ran."""
    command = [
        sys.executable,
        "-m",
        "streams.cli.main",
        "demo",
        "-n",
        str(DECISIONS),
        "--seed",
        "7",
        "--json",
    ]
    said = folder.parent / "said"
    with said.open("w") as errors:
        running = subprocess.Popen(
            command, env=environment(folder), stdout=subprocess.PIPE, stderr=errors, text=True
        )
        while "the agent decides" not in said.read_text():
            assert running.poll() is None, said.read_text()
            time.sleep(0.2)
        for name in (*WORKERS, "kafka"):
            time.sleep(2)
            kill(folder, name)
        out, _ = running.communicate(timeout=600)
    if running.returncode:
        pytest.fail(
            "\n".join([said.read_text()[-1000:], out[-1000:], *map(partial(log_end, folder), WORKERS)])
        )
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return load_settings(folder)


def count(settings: Settings, sql: str) -> int:
    """One number of ClickHouse."""
    [[found]] = ClickHouse(settings.clickhouse).query(sql).result_rows
    return int(found)


def test_everything_is_accounted_for(result: dict[str, Any]) -> None:
    assert result["complete"]
    assert result["decisions"] == DECISIONS
    for stage in result["stages"]:
        assert stage["unanswered"] == 0
        assert sum(stage["outcomes"].values()) == stage["inputs"], stage


def test_every_way_through_was_taken(result: dict[str, Any], settings: Settings) -> None:
    rows = "SELECT count() FROM training_examples WHERE arm = 'opoi' AND source "
    assert count(settings, rows + "= 'own_trace'") > 0, "approved"
    assert count(settings, rows + "IN ('unhinted', 'hinted')") > 0, "corrected, replayed"
    corrected = "SELECT count() FROM rejections WHERE stage = 'sanitize' AND arm = 'opoi'"
    assert count(settings, corrected) > 0, "corrected, refused"
    dead = "SELECT count() FROM dead_letters WHERE stage = 'join' AND error_type = 'not_framed'"
    assert count(settings, dead) == result["poison"] > 0


def test_nothing_is_doubled(result: dict[str, Any], settings: Settings) -> None:
    for name in tables():
        table = tables()[name].name
        doubled = count(
            settings,
            f"SELECT count() - uniqExact(_topic_id, _partition, _offset) FROM {table} FINAL",
        )
        assert doubled == 0, table
    sent = ("agent_decisions", "decision_id"), ("traces", "replay_id")
    for view, identity in sent:
        assert count(settings, f"SELECT count() - uniqExact({identity}) FROM {view}") == 0
    assert count(settings, "SELECT count() - uniqExact(decision_id, arm) FROM training_examples") == 0
    assert count(settings, "SELECT count() FROM agent_decisions") == result["decisions"]


def test_no_row_carries_an_oracle(result: dict[str, Any], settings: Settings) -> None:
    assert result["complete"]
    marked = "arrayExists(turn -> arrayExists(part -> part.is_oracle, turn.parts), turns)"
    assert count(settings, f"SELECT count() FROM training_examples WHERE {marked}") == 0
    assert count(settings, f"SELECT count() FROM traces WHERE arm = 'opoi' AND NOT {marked}") == 0


def test_the_doctor_names_each_of_five_faults(
    result: dict[str, Any], folder: Path, settings: Settings
) -> None:
    assert result["complete"]
    supervisor = Supervisor(Home(folder))
    for name in ("join", "ads"):
        supervisor.stop_process(name)
    admin = make_admin(settings.kafka)
    admin.create_topics([NewTopic("wrong.alerts", 3, 1)])["wrong.alerts"].result(30)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", settings.local.ads_port))
        squatter.listen()
        environment_of_faults = {
            **environment(folder),
            "OPOI_KAFKA__TOPIC_NAMES": '{"opoi.alerts": "wrong.alerts"}',
            "OPOI_CLICKHOUSE__DATABASE": "nowhere",
        }
        command = [sys.executable, "-m", "streams.cli.main", "doctor", "--json"]
        found = subprocess.run(command, env=environment_of_faults, capture_output=True, text=True)
    assert found.returncode == 3
    faults = {(one["check"], one["message"]) for one in json.loads(found.stdout) if one["outcome"] == "fault"}

    def named(check: str, *words: str) -> bool:
        return any(one == check and all(word in message for word in words) for one, message in faults)

    assert named("ports", f"port {settings.local.ads_port} of ads is held by"), faults
    assert named("topics", "wrong.alerts", "3"), faults
    assert named("registry", "wrong.alerts"), faults
    assert named("clickhouse", "migrations are missing"), faults
    assert named("workers", "join is stopped"), faults
