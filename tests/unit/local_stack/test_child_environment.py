"""What the children of a stack find in their environment."""

import configparser
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from local_stack.environments import environments, of_any_process
from local_stack.home import Home
from local_stack.kafka import Broker
from local_stack.processes import BASE, WORKERS, Runtime, table
from local_stack.supervise import MARK, Supervisor, config
from schemas.child_environment import command, kept
from streams.settings import Settings

RUNTIME = Runtime(java=Path("/opt/java"), kafka=Path("/opt/kafka"), registry=Path("/opt/registry"))
SYSTEM = {"PATH": os.environ["PATH"], "HOME": "/home/me", "LANG": "C.UTF-8", "LC_TIME": "C", "TZ": "UTC"}
SECRETS = {
    "OPOI_MODEL__API_KEY": "key",
    "opoi_model__api_key": "key, as pydantic reads it too",
    "OPOI_MODEL": '{"api_key": "key"}',
    "OPOI_ADS__ACCESS_TOKEN": "token",
    "OPOI_KAFKA__SASL_PASSWORD": "password",
    "OPOI_REGISTRY__PASSWORD": "password",
    "OPOI_CLICKHOUSE__PASSWORD": "password",
    "OPOI_REPLAY__ENDPOINTS": "{}",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
    "GEMINI_API_KEY": "key",
    "AWS_SECRET_ACCESS_KEY": "key",
    "GITHUB_TOKEN": "token",
    "https_proxy": "http://me:password@proxy",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "PYTHONPATH": "/home/me",
    "JAVA_TOOL_OPTIONS": "-javaagent:/home/me/agent.jar",
    "LD_PRELOAD": "/home/me/lib.so",
}
MODEL = {"OPOI_MODEL__API_KEY", "opoi_model__api_key", "OPOI_MODEL", "GOOGLE_APPLICATION_CREDENTIALS"}
BROKER = {"OPOI_KAFKA__SASL_PASSWORD", "OPOI_REGISTRY__PASSWORD", "https_proxy"}
NEEDED = {
    **dict.fromkeys(WORKERS, BROKER),
    "trigger": BROKER | {"OPOI_REPLAY__ENDPOINTS"},
    "sanitize": BROKER | {"OPOI_REPLAY__ENDPOINTS"},
    "replay": BROKER | {"OPOI_REPLAY__ENDPOINTS"} | MODEL,
    "sink": BROKER | {"OPOI_CLICKHOUSE__PASSWORD"},
}
PRINT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.parametrize("name", [*BASE, *WORKERS])
def test_a_supervised_process_finds_what_it_needs_and_no_more(name: str) -> None:
    """The command that the supervisor runs, with the environment that it would hand on."""
    home = Home(Path("/srv/home"))
    parser = configparser.RawConfigParser()
    parser.read_string(config(home, table(Settings(home=home.folder), home, RUNTIME), Path("/srv")))
    section = parser[f"program:{name}"]
    before = shlex.split(section["command"])
    program = before[: before.index(",".join(environments()[name])) + 1]
    own = dict(pair.split("=", 1) for pair in section["environment"].replace('"', "").split(","))
    handed_on = {**SYSTEM, **SECRETS, "SUPERVISOR_SERVER_URL": "unix:///srv/home/run/supervisor.sock", **own}
    ran = subprocess.run(
        [*program, sys.executable, "-c", PRINT], env=handed_on, capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    assert found.items() >= {**SYSTEM, **own}.items()
    assert own.items() >= {MARK: "/srv/home", "OPOI_HOME": "/srv/home"}.items()
    assert found.keys() & SECRETS.keys() == NEEDED.get(name, set())
    assert "SUPERVISOR_SERVER_URL" not in found


def test_the_process_itself_runs_and_no_second_one_waits_for_it() -> None:
    """The supervisor stops the process whose id it knows."""
    script = "import os; print(os.getpid())"
    with subprocess.Popen(
        [*command(environments()["ads"]), sys.executable, "-c", script], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert int(child.stdout.read()) == child.pid


def test_a_program_that_is_not_there_is_one_line() -> None:
    ran = subprocess.run(
        [*command(environments()["kafka"]), "/opt/java", "-version"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (1, "/opt/java cannot be started: No such file or directory\n")


def test_the_supervisor_gets_what_some_process_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Started(Exception):
        pass

    given: dict[str, str] = {}

    def spawn(path: str, arguments: list[str], environment: dict[str, str], **_: object) -> NoReturn:
        given.update(environment)
        raise Started

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "posix_spawn", spawn)
    with pytest.raises(Started):
        Supervisor(Home(tmp_path)).start()
    assert given.keys() & SECRETS.keys() == set().union(*NEEDED.values())
    assert given["PATH"] == os.environ["PATH"]
    assert given[MARK] == str(tmp_path)


def test_a_broker_alone_finds_no_more_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As tests and benchmarks start it, with the commands of Java before it."""
    java = tmp_path / "java"
    java.write_text(
        '#!/bin/sh\nenv >> "$(dirname "$0")/found"\necho \'openjdk version "21"\' >&2\ntest "$1" = -version\n'
    )
    java.chmod(0o755)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("local_stack.kafka.fetch", lambda *_: tmp_path)
    with pytest.raises(Exception, match="Kafka cannot prepare"):
        Broker(tmp_path / "kafka", 1, 2, java=java)
    found = (tmp_path / "found").read_text()
    assert "PATH=" in found
    assert not [name for name in SECRETS if f"{name}=" in found]


def test_only_names_count_and_in_any_case() -> None:
    assert kept(environments()["sink"], {"Opoi_ClickHouse__Password": "x"}) == {
        "Opoi_ClickHouse__Password": "x"
    }
    assert kept(environments()["kafka"], {"PATHS": "x", "MYPATH": "x", "OPOI_HOMES": "x"}) == {}
    assert kept(of_any_process(), {"LD_PRELOAD": "x"}) == {}


def test_every_process_of_a_stack_has_a_list() -> None:
    assert {*BASE, *WORKERS} == environments().keys()
