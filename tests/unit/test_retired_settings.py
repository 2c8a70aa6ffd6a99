"""A setting that was renamed or removed is honoured with one warning; no command ends by it."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from local_stack import ports
from local_stack.home import Home
from streams import retired_settings
from streams.cli import main
from streams.retired_settings import RETIRED, Retired, markdown
from streams.settings import Settings, load_settings
from streams.settings_errors import SettingsError, fields_of, variable_of

ROOT = Path(__file__).parents[2]
RUN, NAME = "OPOI_WORKER__DLQ_LIMIT_RUN", "OPOI_WORKER__NAME"
OLD_RUN, GONE = "OPOI_WORKER__OLD_RUN", "OPOI_LOCAL__GONE_PORT"
TABLE = (
    Retired(OLD_RUN, RUN, "0.3.0"),
    Retired(GONE, None, "0.3.0"),
    Retired("OPOI_OLD_JAVA", "OPOI_JAVA", "0.3.0"),
    Retired("OPOI_SINKS", "OPOI_CLICKHOUSE", "0.4.0"),
    Retired("OPOI_REPLAY__COSTS", "OPOI_REPLAY__PRICES", "0.4.0"),
)


@pytest.fixture(autouse=True)
def _retired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retired_settings, "RETIRED", TABLE)
    monkeypatch.setattr(retired_settings, "_told", set())


def stack_env(**values: object) -> Path:
    """The file of a stack that an older version wrote."""
    home = Home(Path(".opoi"))
    home.prepare()
    home.stack_env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return home.stack_env


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr."""
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("where", ["environment", ".env", ".opoi/stack.env"])
def test_a_renamed_setting_counts_under_its_new_name_wherever_it_stands(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if where == "environment":
        monkeypatch.setenv(OLD_RUN, "7")
    elif where == ".env":
        Path(".env").write_text(f"{OLD_RUN}=7\n")
    else:
        stack_env(**{OLD_RUN: 7})
    assert load_settings().worker.dlq_limit_run == 7
    assert load_settings().worker.dlq_limit_run == 7
    assert Settings().worker.dlq_limit_run == 7
    do = "rename it" if "stack" not in where else "`opoi down` and `opoi up` rewrite that file"
    assert told(capsys) == [
        f"warning: {OLD_RUN} ({where}) is retired since opoi 0.3.0: it is used as {RUN}; {do}"
    ]


def test_where_both_are_set_the_new_one_counts_and_the_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OLD_RUN, "7")
    monkeypatch.setenv(RUN, "8")
    assert load_settings().worker.dlq_limit_run == 8
    assert told(capsys) == [
        f"warning: {OLD_RUN} (environment) is retired since opoi 0.3.0: {RUN} is set there too and is used "
        "instead; remove it"
    ]


def test_a_place_that_goes_before_another_does_so_under_the_old_name_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack_env(**{RUN: 8})
    monkeypatch.setenv(OLD_RUN, "7")
    assert load_settings().worker.dlq_limit_run == 7
    monkeypatch.delenv(OLD_RUN)
    stack_env(**{OLD_RUN: 9})
    monkeypatch.setenv(RUN, "8")
    assert load_settings().worker.dlq_limit_run == 8


def test_a_removed_setting_of_an_older_stack_ends_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack_env(**{GONE: 1, "OPOI_REGISTRY__URL": "http://127.0.0.1:1"})
    for words in (["config", "show"], ["status"], ["topics", "list"]):
        monkeypatch.setattr(retired_settings, "_told", set())
        monkeypatch.setattr(sys, "argv", ["opoi", *words])
        with pytest.raises(SystemExit) as ended:
            main.run()
        assert ended.value.code == 0
        assert told(capsys) == [
            f"warning: {GONE} (.opoi/stack.env) is retired since opoi 0.3.0: it has no effect any more; "
            "`opoi down` and `opoi up` rewrite that file"
        ]
    monkeypatch.setattr(retired_settings, "RETIRED", ())
    with pytest.raises(SettingsError, match=f"{GONE} .*no such setting"):
        load_settings()
    assert file.exists()


def test_a_stack_keeps_its_secret_over_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        retired_settings, "RETIRED", (Retired("OPOI_REPLAY__SECRET", ports.ORACLE_SECRET, "0.3.0"),)
    )
    home = Home(stack_env(OPOI_REPLAY__SECRET="long ago").parent.absolute())
    settings = ports.write_stack_env(home, ports.from_base(21_000))
    assert settings.replay.oracle_secret.get_secret_value() == "long ago"
    assert "OPOI_REPLAY__SECRET" not in home.stack_env.read_text()


def test_a_setting_in_a_group_that_is_given_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPOI_WORKER", json.dumps({"old_run": 7, "name": "2"}))
    monkeypatch.setenv("OPOI_LOCAL", json.dumps({"gone_port": None, "kafka_port": 1234}))
    settings = load_settings()
    assert (settings.worker.dlq_limit_run, settings.worker.name, settings.local.kafka_port) == (7, "2", 1234)
    assert [line.split()[1] for line in told(capsys)] == [OLD_RUN, GONE]
    monkeypatch.setenv("OPOI_WORKER", json.dumps({"old_run": 7, "dlq_limit_run": 8}))
    assert load_settings().worker.dlq_limit_run == 8


def test_a_whole_group_and_a_mapping_can_be_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPOI_SINKS__DATABASE", "mine")
    monkeypatch.setenv("OPOI_SINKS", json.dumps({"user": "me"}))
    monkeypatch.setenv("OPOI_REPLAY__COSTS__M", json.dumps({"input": 1, "output": 2}))
    monkeypatch.setenv("OPOI_OLD_JAVA", "/opt/java")
    settings = load_settings()
    assert (settings.clickhouse.database, settings.clickhouse.user) == ("mine", "me")
    assert settings.replay.prices["m"].input == 1
    assert settings.java == Path("/opt/java")


def test_a_wrong_value_is_told_by_the_new_name_and_never_in_the_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OLD_RUN, "many")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    (problem,) = caught.value.problems
    assert problem.startswith(f"{RUN}='many' (environment): must be a valid integer")
    assert "many" not in "".join(told(capsys))


def test_no_retired_setting_is_no_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retired_settings, "RETIRED", ())
    monkeypatch.setenv(RUN, "8")
    assert load_settings().worker.dlq_limit_run == 8
    assert told(capsys) == []


def test_the_table_holds() -> None:
    known = {variable_of(path) for path, _ in fields_of(Settings)}
    known |= {name.partition("__")[0] for name in known}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for table in (RETIRED, TABLE):
        old = [one.old for one in table]
        assert len(set(old)) == len(old)
        # a name that is retired twice has its last name at once
        assert not known & set(old)
        assert {one.new for one in table if one.new is not None} <= known
        assert len({one.new for one in table if one.new}) == len([one for one in table if one.new])
    assert all(numbers(one.since) > (0, 2, 1) for one in RETIRED)
    assert numbers(version) >= (0, 2, 1)


def numbers(version: str) -> tuple[int, ...]:
    """A version as it is compared."""
    return tuple(map(int, version.split(".")))


def test_the_docs_list_what_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retired_settings, "RETIRED", RETIRED)
    section = (ROOT / "docs" / "operations.md").read_text().partition("## Retired settings\n")[2]
    assert markdown() in section.partition("\n## ")[0]
    monkeypatch.setattr(retired_settings, "RETIRED", TABLE)
    assert f"| `{OLD_RUN}` | `{RUN}` | 0.3.0 |\n| `{GONE}` | nothing: remove it | 0.3.0 |\n" in markdown()
