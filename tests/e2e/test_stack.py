"""The one-machine stack as a user meets it: by its command and its ports."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from local_stack import orphans
from local_stack.home import Home
from local_stack.ports import free_port
from streams.settings import Settings, load_settings
from testkit.running_stack import RunningStack, environment, free_base

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

QUIET = {"log_level": 0}


def opoi(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One call of the command line for the stack at `folder`."""
    command = [sys.executable, "-P", "-m", "streams.cli.main", *words]
    return subprocess.run(command, env={**environment(folder), **variables}, capture_output=True, text=True)


def state(folder: Path) -> dict[str, Any]:
    """What `opoi status --json` says."""
    found = json.loads(opoi(folder, "status", "--json").stdout)
    assert isinstance(found, dict)
    return found


def pids(folder: Path) -> dict[str, int]:
    """Process ids of what runs."""
    return {process["name"]: process["pid"] for process in state(folder)["processes"] if process["pid"]}


def write(settings: Settings) -> None:
    """One record, one schema, one row."""
    admin = AdminClient({**settings.kafka.client_config(), **QUIET})
    admin.create_topics([NewTopic("kept", 8, 1)])["kept"].result(30)
    producer = Producer({**settings.kafka.client_config(), **QUIET, "acks": "all"})
    producer.produce("kept", b"value", b"key")
    assert producer.flush(30) == 0
    schema = Schema(json.dumps({"type": "record", "name": "Kept", "fields": []}), "AVRO")
    with SchemaRegistryClient(settings.registry.client_config()) as registry:
        registry.register_schema("kept-value", schema)
    ask(settings, "CREATE TABLE opoi.kept (id UInt8) ENGINE = MergeTree ORDER BY id")
    ask(settings, "INSERT INTO opoi.kept VALUES (7)")


def ask(settings: Settings, sql: str) -> bytes:
    """The answer of ClickHouse to `sql`."""
    with urllib.request.urlopen(settings.clickhouse.url, sql.encode(), timeout=30) as answer:
        body: bytes = answer.read()
    return body


def assert_kept(settings: Settings) -> None:
    """What `write` wrote is there, once."""
    group = {"group.id": "reader", "auto.offset.reset": "earliest", "group.protocol": "consumer"}
    consumer = Consumer({**settings.kafka.client_config(), **QUIET, **group})
    consumer.subscribe(["kept"])
    message = consumer.poll(30)
    assert message is not None
    assert (message.key(), message.value()) == (b"key", b"value")
    consumer.close()
    with SchemaRegistryClient(settings.registry.client_config()) as registry:
        assert registry.get_latest_version("kept-value").version == 1
    assert ask(settings, "SELECT id FROM opoi.kept") == b"7\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a path longer than a Unix socket's may be; whatever runs in it is stopped."""
    deep = tmp_path / ("long" * 25) / "home with a space"
    yield deep
    orphans.end(deep)


def test_a_stack_that_was_killed_comes_back_with_all_its_data(folder: Path) -> None:
    first = opoi(folder, "up", "--no-workers", "--port-base", str(free_base()))
    assert first.returncode == 0, first.stderr
    assert "registry is ready" in first.stderr
    assert "kafka is ready" not in first.stdout
    settings = load_settings(folder)
    write(settings)

    # once more is harmless: the same processes run on
    before = pids(folder)
    assert {"kafka", "registry", "clickhouse"} <= set(before)
    again = opoi(folder, "up", "--no-workers")
    assert again.returncode == 0, again.stderr
    assert pids(folder) == before

    for process in orphans.find(folder):
        process.kill()
    assert not state(folder)["running"]
    back = opoi(folder, "up", "--no-workers")
    assert back.returncode == 0, back.stderr
    assert load_settings(folder).local == settings.local
    assert_kept(settings)

    # the supervisor alone is gone: what it left is ended and started anew
    left = pids(folder)
    psutil.Process(int((folder / "run/supervisord.pid").read_text())).kill()
    adopted = opoi(folder, "up", "--no-workers")
    assert adopted.returncode == 0, adopted.stderr
    assert f"process {left['kafka']} " in adopted.stderr
    assert_rows_survive(settings)

    down = opoi(folder, "down")
    assert (down.returncode, down.stdout) == (0, f"The stack at {folder} is down.\n")
    assert orphans.find(folder) == []
    assert opoi(folder, "down").stdout == f"The stack at {folder} was not running.\n"
    assert "kafka" in state(folder)["disk"]

    assert opoi(folder, "reset").returncode == 2
    reset = opoi(folder, "reset", "--yes")
    assert reset.returncode == 0, reset.stderr
    assert not folder.exists()


def assert_rows_survive(settings: Settings) -> None:
    """ClickHouse has its row."""
    assert ask(settings, "SELECT count() FROM opoi.kept") == b"1\n"


def test_two_stacks_run_side_by_side(stack: RunningStack, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        up = opoi(other, "up", "--no-workers", "--json", "--port-base", str(free_base()))
        assert up.returncode == 0, up.stderr
        status = json.loads(up.stdout)
        assert set(status["ports"].values()).isdisjoint(state(stack.home.folder)["ports"].values())
        ask(load_settings(other), "CREATE TABLE opoi.only_there (id UInt8) ENGINE = MergeTree ORDER BY id")
        assert ask(stack.settings, "EXISTS TABLE opoi.only_there") == b"0\n"
    finally:
        assert opoi(other, "down").returncode == 0
    assert orphans.find(other) == []
    assert state(stack.home.folder)["running"]


def test_a_process_that_dies_is_back_with_its_data(stack: RunningStack) -> None:
    ask(stack.settings, "CREATE TABLE opoi.before (id UInt8) ENGINE = MergeTree ORDER BY id")
    pid = pids(stack.home.folder)["clickhouse"]
    psutil.Process(pid).kill()
    deadline = time.monotonic() + 60
    while True:
        try:
            assert ask(stack.settings, "EXISTS TABLE opoi.before") == b"1\n"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert pids(stack.home.folder)["clickhouse"] != pid


def test_ports_listen_on_this_machine_alone(stack: RunningStack) -> None:
    listening = [
        connection.laddr
        for process in orphans.find(stack.home.folder)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_what_is_wrong_is_one_line(tmp_path: Path, stack: RunningStack) -> None:
    taken = stack.settings.local.registry_port
    done = opoi(tmp_path / "new", "up", "--no-workers", OPOI_LOCAL__REGISTRY_PORT=str(taken))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"port {taken} for registry is in use by process " in done.stderr
    busy = opoi(stack.home.folder, "up", "--port-base", "21000")
    assert busy.returncode == 2
    assert "run `opoi down` first" in busy.stderr
    unknown = opoi(stack.home.folder, "logs", "kafak")
    assert unknown.returncode == 2
    assert "; logs: " in unknown.stderr
    assert "kafka" in unknown.stderr
    assert opoi(tmp_path / "never", "reset", "--yes").returncode == 2


def test_what_does_not_come_up_is_told_by_its_log_and_nothing_is_left_running(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "clickhouse").mkdir(parents=True)
    (folder / "clickhouse" / "data").write_text("a file where a folder should be")
    done = opoi(folder, "up", "--no-workers", "--port-base", str(free_base()))
    assert done.returncode == 1
    assert f"the end of {folder}/logs/clickhouse.log:" in done.stderr
    assert orphans.find(folder) == []


def test_logs_show_the_end_of_one_process(stack: RunningStack) -> None:
    shown = opoi(stack.home.folder, "logs", "kafka", "-n", "5")
    assert shown.returncode == 0
    assert 1 <= len(shown.stdout.splitlines()) <= 5


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(stack: RunningStack, tmp_path: Path) -> None:
    findings = json.loads(opoi(stack.home.folder, "doctor", "--json").stdout)
    outcomes = {finding["check"]: finding["outcome"] for finding in findings}
    for check in ("java", "downloads", "disk", "ports", "processes", "broker", "secret"):
        assert outcomes[check] == "ok", findings
    assert outcomes["workers"] == "skipped", "nobody wanted any"
    sick = opoi(
        tmp_path / "nothing",
        "doctor",
        "--json",
        OPOI_LOCAL__KAFKA_PORT="1",
        OPOI_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    assert sick.returncode == 3
    faults = [finding for finding in json.loads(sick.stdout) if finding["outcome"] == "fault"]
    assert {"processes", "broker"} <= {finding["check"] for finding in faults}
    assert all(finding["remedy"] for finding in faults)


def test_the_reference_agent_on_the_local_model_keeps_its_contract(stack: RunningStack) -> None:
    port = free_port()
    platform = {"OPOI_ADS__GRAPH_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-P", "-m", "streams.cli.main", "agent", "serve", "media_buyer", "--port", "0"]
    variables = {**stack.env, **platform}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        url = served.stdout.readline().split()[-1]
        begun = time.monotonic()
        checked = opoi(stack.home.folder, "agent", "check", url, "--canary-port", str(port))
        took = time.monotonic() - begun
        served.terminate()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    outcomes = {row.split()[0]: row.split()[1] for row in checked.stdout.splitlines()[1:]}
    # whether a run of the local model writes is its own affair
    assert {name for name, outcome in outcomes.items() if outcome != "kept"} <= {"writes"}, checked.stdout
    sys.stderr.write(
        f"{checked.stdout}checked in {took:.1f} s; 30 s are specified, this machine may be busy\n"
    )
    assert took < 60


def test_a_stack_at_rest_is_small(stack: RunningStack) -> None:
    status = state(stack.home.folder)
    assert status["memory"] < 2.5e9
    assert Home(stack.home.folder).log("kafka").is_file()
