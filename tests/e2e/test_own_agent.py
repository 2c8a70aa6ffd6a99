"""The guide for agent teams, command by command, on a real stack: from an AgentSpec to a shown replay."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack.ports import free_port
from sinks.clickhouse import ClickHouse
from streams.settings import load_settings
from testkit.running_stack import environment, free_base

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "for-agent-teams.md"
SECTION = "## 5. From an AgentSpec to the first replay"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
PORT = "18220"
PATIENCE_SECONDS = 240
AGENT = "support-refund"


def commands() -> list[str]:
    """The guide's commands, in order."""
    text = GUIDE.read_text().split(SECTION)[1].split("\n## ")[0]
    return [line[2:] for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


class Shell:
    """Runs the guide's commands for one stack."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = str(port)
        endpoints = {AGENT: {"url": f"http://127.0.0.1:{port}"}}
        self.environment = {
            **environment(folder),
            "OPOI_REPLAY__ENDPOINTS": json.dumps(endpoints),
            "OPOI_PIPELINE__CORRECTOR_MODEL": "opoi-local",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        self.served: list[subprocess.Popen[bytes]] = []

    def words(self, command: str) -> list[str]:
        """The command with this machine's Python and this test's port."""
        first, *rest = shlex.split(command.replace(PORT, self.port))
        own = {"opoi": [sys.executable, "-P", "-m", "streams.cli.main"], "python": [sys.executable]}
        return [*own[first], *rest]

    def run(self, command: str) -> str:
        """What a command prints; it must succeed."""
        if command.endswith("&"):
            self.served.append(subprocess.Popen(self.words(command[:-1]), env=self.environment, cwd=ROOT))
            wait_for(lambda: answers(int(self.port)))
            return ""
        done = subprocess.run(
            self.words(command), env=self.environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def end(self) -> None:
        for process in self.served:
            process.terminate()
            process.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(1)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A stack whose workers know where the agent is served."""
    made = Shell(tmp_path_factory.mktemp("own") / "home", free_port())
    made.run(f"opoi up --port-base {free_base()}")
    yield made
    made.end()
    made.run("opoi down")


@pytest.fixture(scope="module")
def server(shell: Shell) -> Iterator[ClickHouse]:
    """The stack's ClickHouse, after the guide's commands up to the feed, once everything has flowed."""
    for command in commands():
        if command.startswith("opoi replay status"):
            break
        shell.run(command)
    store = ClickHouse(load_settings(Path(shell.environment["OPOI_HOME"])).clickhouse)
    wait_for(lambda: one(store, "SELECT count() FROM reviews") == 24)
    # every case is closed, and what the sanitizer made of its own arm has landed: a row or a rejection, which
    # come over two topics, as do those of its other arms; what is kept for tests is refused for all at once
    wait_for(lambda: one(store, "SELECT uniqExact(decision_id) FROM cases") == 24)
    answered = (
        "SELECT uniqExact(decision_id) FROM (SELECT decision_id, arm FROM training_examples UNION ALL "
        "SELECT decision_id, arm FROM rejections WHERE stage = 'sanitize') WHERE arm = 'opoi' OR arm IS NULL"
    )
    wait_for(lambda: one(store, answered) == 24)
    yield store
    store.close()


def one(store: ClickHouse, sql: str) -> Any:
    return store.query(sql).result_rows[0][0]


def test_its_verdicts_yield_a_hit_an_opoi_row_and_a_rejection(server: ClickHouse) -> None:
    sources = dict(
        server.query(
            "SELECT source, count() FROM training_examples WHERE arm = 'opoi' GROUP BY 1"
        ).result_rows
    )
    assert sources["unhinted"] >= 1
    assert sources["hinted"] >= 1
    rejected = "SELECT count() FROM rejections WHERE arm = 'opoi' AND reason_code = 'action_not_reached'"
    assert one(server, rejected) >= 1


def test_every_replay_ran_at_the_agents_own_service(server: ClickHouse, shell: Shell) -> None:
    # a corrector is a bare model of opoi's own, and a re-decision does not begin as a run of the agent
    found = server.query(
        "SELECT status, target_endpoint, count() FROM traces "
        "WHERE arm IN ('unhinted', 'opoi', 'wrong_oracle') GROUP BY 1, 2"
    ).result_rows
    assert [row[:2] for row in found] == [("completed", f"http://127.0.0.1:{shell.port}")]


def test_the_corrector_is_asked_under_a_name_that_the_model_server_knows(server: ClickHouse) -> None:
    found = server.query(
        "SELECT target_model, countIf(status = 'version_skew') FROM traces "
        "WHERE arm = 'corrector_sft' GROUP BY 1"
    ).result_rows
    assert found == [("opoi-local", 0)]


def test_all_ways_of_answering_are_in_the_traces(server: ClickHouse) -> None:
    answered = one(
        server,
        "SELECT groupUniqArray(part.answered_by) FROM traces ARRAY JOIN turns AS turn "
        "ARRAY JOIN turn.parts AS part WHERE part.kind = 'function_response'",
    )
    assert {"recording", "superset", "snapshot", "simulated"} <= set(answered)


def test_the_rest_of_the_guide_shows_them(server: ClickHouse, shell: Shell) -> None:
    replay_id = one(server, "SELECT replay_id FROM traces WHERE arm = 'opoi' ORDER BY strength DESC LIMIT 1")
    said = {
        command: shell.run(command.replace("REPLAY_ID", replay_id))
        for command in commands()[commands().index("opoi replay status") :]
    }
    assert "training examples" in said["opoi sql funnel --param agent=support-refund"]
    shown = said["opoi replay show REPLAY_ID"]
    assert shown.startswith(f"Replay {replay_id} of decision ticket-")
    assert "oracle    turn 1, part 2" in shown
    assert f"at http://127.0.0.1:{shell.port}" in shown
