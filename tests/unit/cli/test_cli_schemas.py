"""`opoi schemas` and `opoi topics` as far as they need neither registry nor broker."""

import json
import sys
from collections.abc import Callable

import pytest

from schemas.catalog import plain_schema, topics
from schemas.deploy_schemas import SchemaResult
from streams.cli import schemas as schemas_command
from streams.cli.main import run
from streams.cli.output import table

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


def checked(monkeypatch: pytest.MonkeyPatch, *results: SchemaResult) -> None:
    monkeypatch.setattr(schemas_command, "check_schemas", lambda: list(results))


GOOD = SchemaResult("opoi.alerts", "Alert", "opoi.alerts-value", "compatible", versions=2)
BAD = SchemaResult(
    "opoi.reviews", "Review", "opoi.reviews-value", "incompatible", versions=2, problems=("field mood: new",)
)
NOT_RUN = SchemaResult(
    "opoi.alerts", "Alert", "opoi.alerts-value", "not run", problems=("git is not installed",)
)


def test_compatible_schemas_end_with_0(opoi: Opoi, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(monkeypatch, GOOD)

    code, out, told = opoi("schemas", "check")

    assert (code, told) == (0, "")
    assert out.splitlines()[1].split() == ["opoi.alerts", "Alert", "compatible", "2"]


def test_an_incompatible_schema_ends_with_3_and_names_the_field(
    opoi: Opoi, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(monkeypatch, GOOD, BAD)

    code, out, _ = opoi("schemas", "check")

    assert code == 3
    assert out.splitlines()[2].endswith("field mood: new")


def test_a_check_that_was_not_run_does_not_look_passed(opoi: Opoi, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(monkeypatch, NOT_RUN)

    code, out, told = opoi("schemas", "check")

    assert code == 1
    assert "NOT RUN" in out
    assert told == "NOT RUN, nothing was compared: git is not installed\n"


def test_the_check_is_for_machines_too(opoi: Opoi, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(monkeypatch, BAD)

    code, out, _ = opoi("schemas", "check", "--json")

    assert code == 3
    [row] = json.loads(out)
    assert (row["topic"], row["outcome"], row["problems"]) == (
        "opoi.reviews",
        "incompatible",
        ["field mood: new"],
    )


@pytest.mark.parametrize("name", ["Review", "opoi.reviews"])
def test_a_schema_is_shown_as_it_is_registered(opoi: Opoi, name: str) -> None:
    code, out, _ = opoi("schemas", "show", name)

    assert code == 0
    assert json.loads(out) == plain_schema("Review")


@pytest.mark.parametrize(
    ("name", "said"), [("Mood", "no record or topic 'Mood'"), ("opoi.dead-letters", "carries raw bytes")]
)
def test_what_has_no_schema_is_told(opoi: Opoi, name: str, said: str) -> None:
    code, _, told = opoi("schemas", "show", name)

    assert code == 2
    assert said in told


def test_lists_are_whole(opoi: Opoi) -> None:
    _, out, _ = opoi("topics", "list")
    _, as_json, _ = opoi("topics", "list", "--json")
    _, records, _ = opoi("schemas", "list")

    assert [line.split()[0] for line in out.splitlines()[1:]] == list(topics())
    assert {row["name"] for row in json.loads(as_json)} == set(topics())
    assert len(records.splitlines()) == 1 + sum(spec.record is not None for spec in topics().values())


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert table(("A", "COUNT"), [("long name", 7), ("b", None)]) == "A          COUNT\nlong name      7\nb"
