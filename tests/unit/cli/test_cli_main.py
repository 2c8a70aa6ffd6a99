"""The command line: what it lists, how errors end, what it imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import main
from streams.errors import UserError
from streams.settings_errors import MASK


def opoi(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call."""
    monkeypatch.setattr(sys, "argv", ["opoi", *words])
    with pytest.raises(SystemExit) as ended:
        main.run()
    code = ended.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_is_there_and_says_what_it_does(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = opoi(monkeypatch, capsys, name, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: opoi {name}" in out


def test_help_lists_every_command_with_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = opoi(monkeypatch, capsys, "--help")
    assert code == 0
    for name, lazy in main.COMMANDS.items():
        assert f"  {name} " in out
        assert lazy.help.split()[0] in out


def test_help_imports_nothing_heavy() -> None:
    heavy = ["pydantic", "confluent_kafka", "faust", "numpy", "google.genai", "clickhouse_connect", "rich"]
    code = (
        "import sys\nsys.argv = ['opoi', '--help']\nimport streams.cli.main as main\n"
        "try:\n    main.run()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["up", "demo"])
def test_a_command_of_the_stack_says_which_extra_it_needs(name: str) -> None:
    code = (
        "import sys\nsys.modules['psutil'] = None\n"
        f"sys.argv = ['opoi', '{name}']\nimport streams.cli.main as main\nmain.run()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    expected = f"`opoi {name}` needs psutil, which is not installed; `pip install 'opoi[local]'` brings it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize("words", [["sql", "funnel"], ["sql", "-q", "SELECT 1"], ["migrate", "status"]])
def test_an_unreachable_clickhouse_is_one_line_on_stderr(words: list[str]) -> None:
    # in a process of its own: pytest takes in what libraries log
    env = {**os.environ, "OPOI_CLICKHOUSE__URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-P", "-m", "streams.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    [line] = done.stderr.splitlines()
    assert line.startswith("http://127.0.0.1:1 does not answer: ")
    assert (done.returncode, done.stdout) == (1, "")


def test_an_error_of_the_user_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPOI_KAFKA__PARTITIONS", "none")
    code, out, err = opoi(monkeypatch, capsys, "config", "show")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("OPOI_KAFKA__PARTITIONS='none' (environment): must be a valid integer")


def test_an_unknown_command_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = opoi(monkeypatch, capsys, "upp")
    assert (code, out) == (2, "")
    assert "No such command 'upp'" in err


def test_config_show_tells_values_origins_and_no_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("OPOI_KAFKA__PARTITIONS=8\n")
    monkeypatch.setenv("OPOI_MODEL__API_KEY", "not-to-be-seen")
    endpoint = {"url": "http://agent:1", "token": "not-to-be-seen"}
    monkeypatch.setenv("OPOI_REPLAY__ENDPOINTS", json.dumps({"mine": endpoint}))
    code, out, _ = opoi(monkeypatch, capsys, "config", "show", "--json")
    shown = json.loads(out)
    assert code == 0
    assert (shown["OPOI_KAFKA__PARTITIONS"]["value"], shown["OPOI_KAFKA__PARTITIONS"]["from"]) == (8, ".env")
    assert (shown["OPOI_MODEL__API_KEY"]["value"], shown["OPOI_MODEL__API_KEY"]["from"]) == (
        MASK,
        "environment",
    )
    assert shown["OPOI_REGISTRY__URL"]["from"] == "default"
    assert shown["OPOI_REPLAY__ENDPOINTS"]["value"]["mine"] == {"url": "http://agent:1", "token": MASK}
    assert "not-to-be-seen" not in out
    _, lines, _ = opoi(monkeypatch, capsys, "config", "show")
    assert "OPOI_KAFKA__PARTITIONS=8  # .env" in lines.splitlines()


def test_a_user_error_says_its_exit_code() -> None:
    assert UserError("wrong").exit_code == 2
    assert UserError("failed", exit_code=1).exit_code == 1


@pytest.mark.parametrize("stage", ["join", "replay", "sink"])
@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp/elsewhere", ".deaths", "", "a b", "x" * 65])
def test_a_worker_is_refused_whose_name_leads_elsewhere(
    stage: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    rule = "must be 1 to 64 letters, digits, `_`, `.` and `-`, the first a letter or a digit\n"
    assert opoi(monkeypatch, capsys, "worker", stage, "--name", name) == (2, "", f"--name {name!r}: {rule}")
    monkeypatch.setenv("OPOI_WORKER__NAME", name)
    expected = f"OPOI_WORKER__NAME={name!r} (environment): {rule}"
    assert opoi(monkeypatch, capsys, "worker", stage) == (2, "", expected)
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_is_no_text_is_wrong_use() -> None:
    command = [sys.executable, "-P", "-m", "streams.cli.main", "replay", "pause", "--reason", b"\xff\xfe"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "argument 4 is no UTF-8 text: b'\\xff\\xfe'; write it in UTF-8\n"
