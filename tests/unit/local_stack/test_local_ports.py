"""Choosing ports, and writing down what a stack listens on."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import ports
from local_stack.home import Home
from schemas.stages import METRICS_SLOTS
from streams.errors import UserError
from streams.settings import load_settings
from testkit.running_stack import free_base


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty stack's folder."""
    monkeypatch.chdir(tmp_path)
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_base_gives_every_part_its_own_port() -> None:
    chosen = ports.from_base(21_000)
    assert set(chosen) == set(ports.PORTS)
    assert len(set(chosen.values())) == len(chosen)
    others = {port for name, port in chosen.items() if name != "metrics_port"}
    workers = range(chosen["metrics_port"], chosen["metrics_port"] + METRICS_SLOTS)
    assert not others & set(workers)


@pytest.mark.parametrize("base", [80, 1023, 65_530])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(UserError, match=f"--port-base {base}: must be from 1024 to"):
        ports.from_base(base)


def test_a_port_that_is_taken_is_named_with_its_holder_and_its_setting(
    home: Home, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPOI_LOCAL__REGISTRY_PORT", str(taken))
    with pytest.raises(UserError) as caught:
        ports.choose(home, None)
    assert caught.value.message.startswith(f"port {taken} for registry is in use by process ")
    assert "set OPOI_LOCAL__REGISTRY_PORT, or give --port-base" in caught.value.message
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


def test_defaults_that_are_taken_move_and_what_the_user_set_stays(
    home: Home, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_base()
    monkeypatch.setenv("OPOI_LOCAL__BOARD_PORT", str(free))
    monkeypatch.setattr(ports, "in_use", lambda port: port == usual.kafka_port)
    usual = load_settings().local
    chosen = ports.choose(home, None)
    assert chosen["board_port"] == free
    assert chosen["kafka_port"] == usual.kafka_port + ports.STEP
    assert chosen["registry_port"] == usual.registry_port + ports.STEP


def test_no_free_block_of_ports_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "in_use", lambda port: True)
    with pytest.raises(UserError, match=r"no free ports found .* in 40 tries; give --port-base") as caught:
        ports.choose(home, None)
    assert caught.value.exit_code == 2


def test_a_stack_comes_back_on_the_ports_it_had(home: Home) -> None:
    before = ports.from_base(free_base())
    ports.write_stack_env(home, before)
    assert ports.choose(home, None) == before


def test_a_base_and_ports_of_ones_own_contradict(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_LOCAL__ADS_PORT", "21000")
    with pytest.raises(UserError, match="OPOI_LOCAL__ADS_PORT is set: unset it, or omit --port-base"):
        ports.choose(home, 22_000)


def test_the_file_leads_to_the_stack_keeps_its_secret_and_is_private(home: Home) -> None:
    first = ports.write_stack_env(home, ports.from_base(21_000))
    again = ports.write_stack_env(home, ports.from_base(21_100))
    assert again.kafka.bootstrap_servers == "127.0.0.1:21100"
    assert again.clickhouse.url == f"http://127.0.0.1:{again.local.clickhouse_port}"
    assert again.registry.url.startswith(f"http://127.0.0.1:{again.local.registry_port}/")
    assert again.kafka.partitions == ports.LOCAL_PARTITIONS
    assert again.replay.oracle_secret == first.replay.oracle_secret
    assert len(first.replay.oracle_secret.get_secret_value()) == 64
    assert stat.S_IMODE(home.stack_env.stat().st_mode) == 0o600


def test_settings_that_lead_away_from_the_stack_are_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_KAFKA__BOOTSTRAP_SERVERS", "production:9092")
    settings = ports.write_stack_env(home, ports.from_base(21_000))
    (line,) = ports.diverted(settings, home)
    assert "OPOI_KAFKA__BOOTSTRAP_SERVERS=production:9092 (environment)" in line


def test_a_file_that_an_interrupted_run_left_open_to_others_does_not_hold_the_secret(home: Home) -> None:
    left = home.stack_env.with_suffix(".new")
    left.touch()
    left.chmod(0o644)
    ports.write_stack_env(home, ports.from_base(free_base()))
    assert stat.S_IMODE(home.stack_env.stat().st_mode) == 0o600
