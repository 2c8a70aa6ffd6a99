"""What the doctor makes of what it sees; nothing here runs a stack."""

import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from local_stack import checks
from local_stack.checks import CHECKS, Scene
from local_stack.cli.stack import describe
from local_stack.home import Home
from local_stack.ports import PORTS
from local_stack.processes import metrics_ports
from local_stack.status import ProcessStatus, Status
from local_stack.supervise import State
from schemas.settings import KafkaSettings
from streams.health.checks import Finding
from streams.health.probes import unreachable
from streams.settings import LocalSettings, Settings
from testkit.running_stack import free_base


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A stack whose processes all run."""
    home = Home(tmp_path)
    home.prepare()
    made = Scene(Settings(home=tmp_path, local=LocalSettings(metrics_port=free_base())))
    names = ("kafka", "registry", "clickhouse", "ticker", "join")
    made.__dict__["states"] = {name: State(name, "RUNNING", 1, 100, None) for name in names}
    return made


def exits(scene: Scene, name: str, count: int) -> None:
    """Write into the supervisor's log that `name` ended `count` times just now."""
    line = f"{datetime.now():%Y-%m-%d %H:%M:%S},1 WARN exited: {name} (exit status 1; not expected)\n"
    scene.home.log("supervisor").write_text(line * count)


def only(found: list[Finding]) -> Finding:
    """The one finding."""
    assert len(found) == 1
    return found[0]


def test_what_runs_is_fine(scene: Scene) -> None:
    assert only(list(checks.processes(scene))).outcome == "ok"


def test_one_exit_is_told_and_a_loop_is_a_fault(scene: Scene) -> None:
    exits(scene, "join", 1)
    once = only(list(checks.workers(scene)))
    assert (once.outcome, "join ended and restarted" in once.message) == ("ok", True)
    exits(scene, "join", 4)
    scene.home.log("join").write_text('{"event": "contract broken"}\n')
    loop = only(list(checks.workers(scene)))
    assert loop.outcome == "fault"
    assert "join is running and ended by itself 4 times in 10 minutes" in loop.message
    assert loop.message.endswith("its log ends: contract broken")


def test_what_is_down_is_a_fault_with_its_log(scene: Scene) -> None:
    scene.__dict__["states"]["kafka"] = State("kafka", "BACKOFF", None, 0, 1)
    scene.home.log("kafka").write_text("No space left on device\n")
    found = only(list(checks.processes(scene)))
    assert found.outcome == "fault"
    assert "kafka is backoff" in found.message
    assert found.message.endswith("No space left on device")
    assert "opoi logs kafka" in found.remedy


def test_a_stack_that_does_not_run_is_one_fault(scene: Scene) -> None:
    scene.__dict__["states"] = None
    assert only(list(checks.processes(scene))).remedy == "run `opoi up`"
    assert only(list(checks.workers(scene))).outcome == "skipped"


def test_workers_that_were_stopped_are_a_fault_and_those_never_wanted_are_told(scene: Scene) -> None:
    for name in ("ticker", "join"):
        scene.__dict__["states"][name] = State(name, "STOPPED", None, 0, None)
    found = only(list(checks.workers(scene)))
    assert (found.outcome, found.message.split(":")[0]) == ("skipped", "no worker runs")
    for name in ("ticker", "join"):
        scene.__dict__["states"][name] = State(name, "STOPPED", None, 0, -1)
    assert [one.outcome for one in checks.workers(scene)] == ["fault", "fault"]


@pytest.fixture
def replay_metrics(scene: Scene) -> Iterator[Gauge]:
    """What the stack's replay worker says is away."""
    registry = CollectorRegistry()
    server, thread = start_http_server(
        metrics_ports(scene.settings.local)["replay"], addr="127.0.0.1", registry=registry
    )
    yield Gauge("opoi_replay_away", "1 while it is.", ["what"], registry=registry)
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_replays_wait_for_is_a_fault_that_names_it(scene: Scene, replay_metrics: Gauge) -> None:
    replay_metrics.labels("model").set(0)
    assert only(list(checks.replays(scene))).outcome == "ok"
    replay_metrics.labels("agent:support-refund").set(1)
    found = only(list(checks.replays(scene)))
    assert found.outcome == "fault"
    assert found.message == "agent:support-refund is unreachable, and the replays that need it wait"


def test_status_names_what_replays_wait_for(scene: Scene, replay_metrics: Gauge) -> None:
    replay_metrics.labels("agent:support-refund").set(1)
    process = ProcessStatus("replay", "running", 1, 100, 0, 19103, 0)
    waited_for = unreachable(metrics_ports(scene.settings.local)["replay"])
    found = Status("home", True, [process], 0, {}, {}, waited_for)
    assert "Unreachable; replays wait for: agent:support-refund" in describe(found)


def told_of_ports(settings: Settings, pid: int) -> list[Finding]:
    """What is said of the ports while the stack's ads platform is the process `pid`."""
    scene = Scene(settings)
    scene.__dict__["states"] = {"ads": State("ads", "STARTING", pid, 0, None)}
    return list(checks.taken_ports(scene))


def test_a_port_is_taken_unless_its_own_process_or_one_below_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = 2**22 + 1  # above the highest process id
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        local = {name: free_base() + place for place, name in enumerate(PORTS)} | {"ads_port": port}
        settings = Settings(home=tmp_path, local=LocalSettings(**local))
        monkeypatch.setattr(Scene, "is_local", True)
        for pid in (os.getpid(), os.getppid()):
            assert only(told_of_ports(settings, pid)).outcome == "ok"
        squatted = only(told_of_ports(settings, nobody))
        assert squatted.outcome == "fault"
        assert squatted.message.startswith(f"port {port} of ads is held by process {os.getpid()} (")
        hidden = [one._replace(pid=None) for one in psutil.net_connections(kind="tcp")]
        monkeypatch.setattr(psutil, "net_connections", lambda kind: hidden)
        assert only(told_of_ports(settings, nobody)).outcome == "ok"


def test_a_broker_elsewhere_needs_no_local_parts(tmp_path: Path) -> None:
    scene = Scene(Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers="broker.example.org:9092")))
    for check in (checks.java, checks.downloads, checks.taken_ports, checks.processes):
        assert only(list(check(scene))).outcome == "skipped"


def test_every_check_has_a_name_of_its_own() -> None:
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
