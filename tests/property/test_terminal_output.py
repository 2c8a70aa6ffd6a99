"""Whatever records, models, experts, tools and brokers write is shown: nothing moves, hides or forges."""

import ast
import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from local_stack import progress
from local_stack.checks import fault
from local_stack.cli import stack
from local_stack.demo.story import Told, told
from local_stack.home import Home
from schemas.identity import sha256
from schemas.records import Artifact
from streams.cli import agent, doctor, main, sql
from streams.cli.output import echo, echo_json, echo_line, echo_text, table
from streams.cli.trace_text import lines
from streams.errors import UserError
from streams.visible import BLANK, HIDDEN, visible, visible_json
from tests.unit.cli.trace_rows import part, trace, turn

STREAMS = Path(__file__).parents[2] / "streams"
HOSTILE = (
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\r", "\n", "\t", "\x00", "\x08", "\x7f", "\x9b2J", "\x85",
    "\u2028", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\ud800", "\u3164", "\U000e0041",
    "[red]", ":boom:", "\\x1b", '"', ",", "é", "漢", " ",
)  # fmt: skip
TEXTS = st.text(st.characters(), max_size=40) | st.lists(st.sampled_from(HOSTILE), max_size=8).map("".join)


def hidden(text: str, keep: str = "\n") -> list[str]:
    """What of `text` a terminal would not show as it is."""
    return [one for one in text if one not in keep and (unicodedata.category(one) in HIDDEN or one in BLANK)]


def printed(command: Callable[[], object]) -> tuple[str, str]:
    """What a command prints, and what it says beside it."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        command()
    return out.getvalue(), err.getvalue()


@given(TEXTS)
def test_what_can_be_seen_stays_and_the_rest_is_an_escape(text: str) -> None:
    shown = visible(text)
    assert not hidden(shown, keep="")
    assert shown.encode().decode() == shown
    assert visible(shown) == shown
    if not hidden(text, keep=""):
        assert shown == text


@given(TEXTS)
def test_json_says_the_same_with_escapes(text: str) -> None:
    found = {text: [text, {"deep": text}]}
    for form in ({}, {"indent": 2}):
        written = visible_json(json.dumps(found, ensure_ascii=False, **form))
        assert json.loads(written) == found
        assert not hidden(written)
    out, _ = printed(lambda: echo_json(found))
    assert json.loads(out) == found
    assert not hidden(out)


@given(TEXTS)
def test_a_line_is_one_line(text: str) -> None:
    for command in (lambda: echo(text), lambda: echo_line(text)):
        (line,) = filter(None, printed(command))
        assert (line.count("\n"), line[-1], hidden(line)) == (1, "\n", [])


@given(st.lists(st.tuples(TEXTS, TEXTS | st.integers() | st.none()), max_size=4), TEXTS)
def test_a_row_of_a_table_is_one_line(rows: list[tuple[object, ...]], header: str) -> None:
    out, _ = printed(lambda: echo_text(table((header, "b"), rows)))
    assert not hidden(out)
    assert out.count("\n") == len(rows) + 1


def replayed(text: str) -> None:
    row = trace(
        agent=text, account_id=text, reason=text, rationale=text, action_target=text, target_model=text,
        turns=[turn("user", part("text", text=text)), turn("model", part("function_call", tool=text))],
        intended_writes=[{"tool": text, "arguments_json": text}],
    )  # fmt: skip
    for full in (False, True):
        for line in lines(row, full=full):
            echo(line)


def demonstrated(text: str) -> None:
    echo_text(told(Told(*[text] * 6, "hinted", text, text, text, 1.0, text)))


def refused(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "app", lambda **_: (_ for _ in ()).throw(UserError(text)))
        with pytest.raises(SystemExit):
            main.run()


def diagnosed(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "_run", lambda _: [fault("workers", f"its log ends: {text}", text)])
        with pytest.raises(doctor.typer.Exit):
            doctor.doctor()


def listed(text: str) -> None:
    content = text.encode(errors="surrogatepass")
    given = {"agent": text, "version": text, "content": content, "media_type": "text/plain", "name": text}
    found = Artifact(
        artifact_id=sha256(content), kind="system_prompt", registered_at=datetime.now(UTC), **given
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent, "_registered", lambda: [found])
        agent.list_agents()
        agent.prompt(text)


@dataclass
class Answering:
    """A ClickHouse that answers everything with the same rows."""

    column_names: Sequence[str]
    result_rows: Sequence[Sequence[Any]]

    def read(self, *_: object) -> "Answering":
        """The answer."""
        return self


def asked(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sql, "_clickhouse", lambda: Answering(("a", text), [(text, [text]), (None, {"b": text})])
        )
        sql.sql(statement="SELECT 1", param=None)


def progressed(text: str) -> None:
    with progress.progress() as shown:
        shown.line(text)
        shown.working(text)


PRINTING = (replayed, demonstrated, refused, diagnosed, listed, asked, progressed)
OF_LINES = (refused, listed)
"""An error and a prompt may have lines of their own, with tabs."""


@pytest.mark.parametrize("command", PRINTING, ids=lambda one: one.__name__)
@given(TEXTS)
@example("".join(HOSTILE))
def test_no_command_prints_what_would_repaint_the_screen(command: Callable[[str], None], text: str) -> None:
    for written in printed(lambda: command(text)):
        assert not hidden(written, keep="\n\t" if command in OF_LINES else "\n")


@given(TEXTS)
@example("".join(HOSTILE))
def test_the_log_of_a_process_repaints_nothing_when_it_is_shown(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    home.log("join").write_bytes(f"{text}\nlast".encode(errors="surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPOI_HOME", str(home.folder))
        out, _ = printed(lambda: stack.logs("join", lines=1000))
    assert not hidden(out, keep="\n\t")
    assert out.count("\n") == text.count("\n") + 2


@given(TEXTS)
@example("".join(HOSTILE))
def test_values_separated_by_commas_are_read_as_the_same_rows(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "_clickhouse", lambda: Answering(("a", "b"), [(text, 1), (None, [text])]))
        out, _ = printed(lambda: sql.sql(statement="SELECT 1", param=None, as_csv=True))
    first, second, third = csv.reader(io.StringIO(out, newline=""))
    assert (first, second[1], third[0]) == (["a", "b"], "1", "")
    assert second[0] == visible(text, keep="\n\t")
    assert not hidden(out, keep="\r\n\t")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_the_status_line_takes_no_markup_and_no_emoji(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    console = Console(file=io.StringIO(), width=10_000)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    with progress.progress() as shown:
        shown.line(text)
        shown.working(text)
    first, *_ = console.file.getvalue().split("\n")
    assert first.rstrip() == visible(text).rstrip()


WAYS = {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write", "console.print"}
PRINTERS = {
    "streams/cli/output.py", "local_stack/progress.py", "streams/retired_settings.py",
    "streams/runtime/supervisor.py", "streams/faust_runner/safety/unsafe.py", "local_stack/model/__main__.py",
}  # fmt: skip
"""Where something is printed: the one way, two that escape likewise, three that write JSON and constants."""


def test_nothing_is_printed_past_the_one_way() -> None:
    found = set()
    for path in (*STREAMS.rglob("*.py"), *(STREAMS.parent / "local_stack").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in WAYS:
                found.add(str(path.relative_to(STREAMS.parent)))
    assert found <= PRINTERS
    assert "streams/cli/output.py" in found
