"""`opoi demo`: how it ends, and what it says to do next."""

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.ports import ModelAway
from local_stack.cli import demo
from local_stack.traffic import PlatformAway
from schemas.errors import NotRegistered, RegistryAway, Unencodable
from sinks.clickhouse import ClickHouseAway, StatementRefused
from streams.cli.output import own_command
from streams.errors import UserError
from streams.runtime.kafka_clients import DeliveryFailed
from streams.settings import Settings

ERRORS = [
    PlatformAway,
    ModelAway,
    RegistryAway,
    NotRegistered,
    Unencodable,
    ClickHouseAway,
    StatementRefused,
    DeliveryFailed,
]
DONE = {
    "text": "the funnel",
    "decisions": 2,
    "verdicts": 1,
    "complete": True,
    "missing": [],
    "example": {"replay_id": "r1"},
}


@pytest.fixture(autouse=True)
def no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack that is up."""
    monkeypatch.setenv("OPOI_HOME", str(tmp_path))
    monkeypatch.setattr(demo.stack, "up", lambda *given: SimpleNamespace(settings=Settings(home=tmp_path)))


@pytest.mark.parametrize("error", ERRORS)
def test_what_goes_away_is_one_line(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*given: object) -> None:
        raise error("it is away")

    monkeypatch.setattr(demo, "_run", ends)
    with pytest.raises(UserError) as caught:
        demo.demo(decisions=2)
    assert caught.value.message == "the demo cannot continue: it is away; see `opoi status`"
    assert caught.value.exit_code == 1


def test_a_loss_is_said_and_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = DONE | {"complete": False, "missing": ["1 verdicts have no review, the first on d1", "and more"]}
    monkeypatch.setattr(demo, "_run", lambda *given: dict(lost))
    with pytest.raises(UserError) as caught:
        demo.demo(decisions=2, timeout=5.0)
    assert caught.value.message == (
        "not everything arrived within 5 s: 1 verdicts have no review, the first on d1; and more; "
        "see `opoi sql pending` and `opoi doctor`"
    )
    assert caught.value.exit_code == 1


def test_the_next_commands_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_run", lambda *given: dict(DONE))
    monkeypatch.setattr(demo, "own_command", lambda: ".venv/bin/opoi")
    demo.demo(decisions=2)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert ".venv/bin/opoi sql funnel  # the funnel again" in lines
    assert ".venv/bin/opoi replay show r1  # the replay behind the decision above" in lines


@pytest.fixture
def virtual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands of a virtual environment in the working directory, none of them on PATH."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    shutil.copy("/bin/sh", folder / "opoi")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return folder


def test_off_the_path_the_command_is_named_by_its_path(
    virtual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_command() == ".venv/bin/opoi"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert own_command() == str(virtual / "opoi")
    monkeypatch.chdir(virtual)
    assert own_command() == str(virtual / "opoi")


def test_another_opoi_on_the_path_is_not_this_one(
    virtual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("/bin/sh", tmp_path / "opoi")
    assert own_command() == ".venv/bin/opoi"
    monkeypatch.setenv("PATH", os.pathsep.join((str(virtual), str(tmp_path))))
    assert own_command() == "opoi"


def test_without_a_script_the_module_is_run(virtual: Path) -> None:
    (virtual / "opoi").unlink()
    assert own_command() == f"{virtual}/python -P -m streams.cli.main"
