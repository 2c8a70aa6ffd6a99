"""The table of processes, and the supervisor's configuration made of it."""

import configparser
import shlex
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from local_stack.home import Home
from local_stack.kafka import new_cluster_id, server_properties
from local_stack.ports import from_base, stack_variables
from local_stack.processes import BASE, WORKERS, Process, Runtime, table
from local_stack.supervise import MARK, config, last_line, recent_exits, tail
from streams.errors import UserError
from streams.settings import Settings

RUNTIME = Runtime(java=Path("/opt/java"), kafka=Path("/opt/kafka"), registry=Path("/opt/registry"))


def processes(home: Home) -> tuple[Process, ...]:
    """The table of a stack in `home`."""
    return table(Settings(home=home.folder), home, RUNTIME)


def parsed(home: Home) -> configparser.RawConfigParser:
    """The configuration as its own format reads it."""
    parser = configparser.RawConfigParser()
    parser.read_string(config(home, processes(home), Path("/srv")))
    return parser


def test_names_are_those_that_the_rest_speaks_of() -> None:
    names = [process.name for process in processes(Home(Path("/srv/home")))]
    assert len(set(names)) == len(names)
    assert set(names) <= {*BASE, *WORKERS}
    assert {"kafka", "registry", "clickhouse", *WORKERS} <= set(names)


def test_every_process_is_restarted_for_ever_and_has_a_bounded_log() -> None:
    home = Home(Path("/srv/home"))
    parser = parsed(home)
    for process in processes(home):
        section = parser[f"program:{process.name}"]
        assert section["autorestart"] == "true"
        assert int(section["startretries"]) >= 1_000_000
        assert int(section["stdout_logfile_maxbytes"]) * (int(section["stdout_logfile_backups"]) + 1) < 2**26
        assert shlex.split(section["command"]) == list(process.command)
        assert f'{MARK}="/srv/home"' in section["environment"]


def test_what_others_stand_on_starts_first_and_stops_last() -> None:
    listed = processes(Home(Path("/srv/home")))
    base = [process.priority for process in listed if not process.is_worker]
    workers = [process.priority for process in listed if process.is_worker]
    assert max(base) < min(workers)


def test_paths_with_signs_that_the_format_expands_are_kept() -> None:
    home = Home(Path("/srv/100% of it/a b"))
    section = parsed(home)["program:kafka"]
    assert "100%% of it" in section["command"]
    assert (
        shlex.split(section["command"].replace("%%", "%"))[-1]
        == "/srv/100% of it/a b/kafka/server.properties"
    )


@pytest.mark.parametrize("sign", ["\n", "\r", "\r\n"])
def test_a_folder_whose_name_would_add_a_process_is_refused(sign: str) -> None:
    forged = Path(f"/srv/x{sign}[program:other]{sign}command = true")
    for home, directory in ((forged, Path("/srv")), (Path("/srv"), forged)):
        with pytest.raises(UserError, match="has a line break in its name: use a folder without one"):
            config(Home(home), processes(Home(home)), directory)


def test_every_worker_has_a_metrics_port_of_its_own() -> None:
    ports = [
        process.environment["OPOI_METRICS__PORT"]
        for process in processes(Home(Path("/srv/home")))
        if process.is_worker
    ]
    assert len(set(ports)) == len(WORKERS)


def test_nothing_listens_beyond_this_machine() -> None:
    properties = server_properties(Path("/srv/data"), 21_000, 21_001)
    listeners = next(line for line in properties.splitlines() if line.startswith("listeners="))
    assert listeners == "listeners=PLAINTEXT://127.0.0.1:21000,CONTROLLER://127.0.0.1:21001"
    registry = next(process for process in processes(Home(Path("/srv/home"))) if process.name == "registry")
    assert "-Dquarkus.http.host=127.0.0.1" in registry.command
    # Quarkus would serve its management interface on 0.0.0.0:9000
    assert "-Dquarkus.management.host-enabled=false" in registry.command
    assert all(
        "127.0.0.1" in value
        for name, value in stack_variables(from_base(21_000), "s").items()
        if "URL" in name
    )


def test_cluster_ids_have_kafkas_form_and_never_look_like_an_option() -> None:
    made = {new_cluster_id() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(one) for one in made} == {22}
    assert not any(one.startswith("-") for one in made)


def test_exits_are_counted_while_they_are_recent(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    now = datetime.now()
    lines = [
        f"{now - timedelta(minutes=30):%Y-%m-%d %H:%M:%S},1 WARN exited: join (exit status 1; not expected)",
        f"{now - timedelta(minutes=2):%Y-%m-%d %H:%M:%S},1 WARN exited: join (exit status 1; not expected)",
        f"{now - timedelta(minutes=1):%Y-%m-%d %H:%M:%S},1 INFO spawned: 'join' with pid 10",
        f"{now:%Y-%m-%d %H:%M:%S},1 WARN exited: join (terminated by SIGKILL; not expected)",
        f"{now:%Y-%m-%d %H:%M:%S},1 INFO stopped: sink (exit status 0)",
    ]
    home.log("supervisor").write_text("\n".join(lines) + "\n")
    assert recent_exits(home) == {"join": 2}


def test_the_last_line_of_a_structured_log_is_what_it_says(tmp_path: Path) -> None:
    log = tmp_path / "join.log"
    assert last_line(log) == "its log is empty"
    log.write_text('plain\n{"event": "the broker is away", "level": "warning"}\n')
    assert last_line(log) == "the broker is away"
    log.write_text('{"event": "worker died", "error": "on reviews-0 at 7 (sigsegv)", "level": "error"}\n')
    assert last_line(log) == "worker died: on reviews-0 at 7 (sigsegv)"
    log.write_text("one\ntwo\n")
    assert last_line(log) == "two"
    assert tail(log, 1) == ["two"]
    assert tail(log, 0) == []
