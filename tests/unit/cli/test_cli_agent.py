"""`opoi agent` as far as it needs no broker."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.load import read_definition
from agent.media_buyer.definition import media_buyer
from agent.spec import AgentSpec
from schemas.identity import content_hash, sha256
from streams.cli.main import run

Opoi = Callable[..., tuple[int, str, str]]


@pytest.fixture
def opoi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Opoi:
    """The command line: exit code, stdout, stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["opoi", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        code = ended.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return command


@pytest.mark.parametrize("name", ["media_buyer", "media-buyer"])
def test_the_reference_agents_prompt_needs_no_broker(opoi: Opoi, name: str) -> None:
    assert opoi("agent", "prompt", name) == (0, media_buyer().system_prompt, "")


def test_a_spec_that_is_not_there_is_told_in_one_line(opoi: Opoi, tmp_path: Path) -> None:
    code, out, told = opoi("agent", "register", str(tmp_path / "spec.yaml"))

    assert (code, out) == (2, "")
    assert told == f"{tmp_path}/spec.yaml cannot be read: No such file or directory\n"


def test_an_agent_is_exported_for_its_own_process(opoi: Opoi) -> None:
    folder = Path(__file__).parents[3] / "examples" / "support_refund"
    code, out, told = opoi("agent", "export", str(folder / "spec.yaml"))

    assert (code, told) == (0, "")
    found = json.loads(out)
    agent = read_definition(folder)
    assert AgentSpec.of(found["spec"]).spec_id == agent.spec.spec_id == content_hash(found["spec"])
    assert sha256(found["system_prompt"]) == agent.prompt_id
    assert content_hash(found["toolset"]) == agent.toolset_id


def test_what_cannot_be_exported_is_told_in_one_line(opoi: Opoi, tmp_path: Path) -> None:
    code, out, told = opoi("agent", "export", str(tmp_path / "spec.yaml"))

    assert (code, out) == (2, "")
    assert told == f"{tmp_path}/spec.yaml cannot be read: No such file or directory\n"
