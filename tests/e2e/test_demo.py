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
from typing import Any, TypeVar

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from local_stack.demo.feed import POISON
from local_stack.home import Home
from local_stack.supervise import Supervisor
from schemas.record import Record
from schemas.records import AgentDecision, ExpertVerdict, ReplayRequest
from schemas.registry import make_codec
from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.runtime.kafka_clients import make_admin, make_consumer
from streams.settings import Settings, load_settings
from testkit.running_stack import environment, free_base

pytestmark = [pytest.mark.stack, pytest.mark.faults, pytest.mark.timeout(900)]

DECISIONS = 40
AnyRecord = TypeVar("AnyRecord", bound=Record)
Log = dict[str, dict[tuple[int, int], bytes | None]]
"""Values by partition and offset, by topic."""
WORKERS = ("join", "trigger", "replay", "sanitize", "sink", "ticker")


def opoi(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One call of the command line for the stack at `folder`."""
    command = [sys.executable, "-P", "-m", "streams.cli.main", *words]
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
        "-P",
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
        assert running.poll() is None, "the demo ended before the last process was killed"
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


@pytest.fixture(scope="module")
def log(result: dict[str, Any], settings: Settings) -> Log:
    """Everything that the broker holds of the topics that are landed."""
    assert result["complete"]
    names = {settings.kafka.physical(name): name for name in tables()}
    consumer = make_consumer(settings.kafka, "what-the-broker-holds")
    described = consumer.list_topics(timeout=30).topics
    places = [TopicPartition(name, one, 0) for name in names for one in described[name].partitions]
    ends = [consumer.get_watermark_offsets(place, timeout=30)[1] for place in places]
    consumer.assign(places)
    found: Log = {name: {} for name in tables()}
    until = time.monotonic() + 60
    while any(max(at.offset, 0) < end for at, end in zip(consumer.position(places), ends, strict=True)):
        assert time.monotonic() < until, "the broker's log was not read to its end"
        for message in consumer.consume(500, 0.2):
            assert message.error() is None, message.error()
            found[names[message.topic()]][message.partition(), message.offset()] = message.value()
    consumer.close()
    return found


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


def test_every_way_through_was_taken(result: dict[str, Any]) -> None:
    def records(item: str, kind: str, verdict: str = "", arm: str = "opoi") -> int:
        """What the demo's own funnel counts; `kind` is how it begins."""
        return sum(
            row["records"]
            for row in result["funnel"]
            if (row["item"], row["arm"], row["verdict"]) == (item, arm, verdict)
            and row["kind"].startswith(kind)
        )

    examples = "live training examples"
    assert records(examples, "own_trace: ", "approve") > 0, result["funnel"]
    replayed = [records(examples, source, "correct") for source in ("unhinted: ", "hinted: ")]
    assert sum(replayed) > 0, result["funnel"]
    assert records("rejections", "sanitize: ", "correct") > 0, result["funnel"]
    assert records("dead letters", "join: not_framed", arm="") == result["poison"] > 0


def test_every_record_of_the_broker_is_one_row(log: Log, settings: Settings) -> None:
    server = ClickHouse(settings.clickhouse)
    for name, table in tables().items():
        rows = server.query(f"SELECT _partition, _offset FROM {table.name} FINAL").result_rows
        unread = server.query(
            "SELECT partition, offset FROM dead_letters WHERE stage = 'sink' AND topic = {topic:String}",
            {"topic": name},
        ).result_rows
        assert sorted([*rows, *unread]) == sorted(log[name]), name


def test_nothing_is_doubled(result: dict[str, Any], log: Log, settings: Settings) -> None:
    codec = make_codec(settings)

    def sent(topic: str, kind: type[AnyRecord]) -> list[AnyRecord]:
        values = [value for value in log[topic].values() if value != POISON]
        found = [codec.decode(topic, value) for value in values]
        return [record for record in found if isinstance(record, kind)]

    def rows(columns: str, view: str) -> list[Any]:
        server = ClickHouse(settings.clickhouse)
        return sorted(server.query(f"SELECT {columns} FROM {view}").result_rows)

    decisions = sorted((one.decision_id,) for one in sent("agent.decisions", AgentDecision))
    assert len(decisions) == len(set(decisions)) == result["decisions"]
    assert rows("decision_id", "agent_decisions") == decisions
    verdicts = sorted((one.verdict_id, one.revision) for one in sent("expert.verdicts", ExpertVerdict))
    assert len(verdicts) == len(set(verdicts)) == result["verdicts"]
    assert rows("verdict_id, revision", "expert_verdicts") == verdicts
    # the expert's last word on each decision, where it stands
    last = {
        one.verdict_id: one
        for one in sorted(sent("expert.verdicts", ExpertVerdict), key=lambda one: one.revision)
    }
    standing = {(one.verdict_id, one.revision) for one in last.values() if one.kind != "retract"}
    for view in ("reviews", "cases"):
        found = rows("verdict_id, revision", view)
        assert len(found) == len(set(found)), view
        assert standing <= set(found) <= set(verdicts), view
    requests = sent("opoi.replay-requests", ReplayRequest)
    asked = {(one.replay_id,) for one in requests}
    assert rows("replay_id", "replay_requests") == sorted(asked)
    run = rows("replay_id", "traces")
    assert len(run) == len(set(run))
    # a newer verdict calls off what was asked for the one before
    needed = {(one.replay_id,) for one in requests if (one.verdict_id, one.revision) in standing}
    assert needed <= set(run) <= asked
    examples = rows("decision_id, arm, verdict_id, revision", "training_examples")
    assert len(examples) == len({(decision, arm) for decision, arm, _, _ in examples})
    assert {(verdict, number) for _, _, verdict, number in examples} <= standing


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
        command = [sys.executable, "-P", "-m", "streams.cli.main", "doctor", "--json"]
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
