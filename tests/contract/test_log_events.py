"""Every line that is logged is an event of the one list, at its level and with the same fields."""

import ast
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import structlog

from schemas.log_event import Level, LogEvent
from schemas.log_events import EVENTS
from scripts.docs import PACKAGES, metrics
from streams.runtime import logs
from streams.runtime.throttled_log import ThrottledLog
from streams.settings import LogSettings, Settings
from streams.settings_errors import fields_of, variable_of

ROOT = Path(__file__).parents[2]
FREE = {
    "schemas/log_events.py": "where an event is logged",
    "streams/runtime/exit_codes.py": "the line that ends a process; exit codes are its list",
    "streams/faust_runner/safety/recovery.py": "the lines of Faust's own method that it replaces",
}
PATHS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
CALLS = {*get_args(Level), "exception", "warn", "fatal", "log", "msg"}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def calls_in(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr, str]]:
    """Calls of methods: the call, what the method belongs to, its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.value, node.func.attr


def is_logger(owner: ast.expr) -> bool:
    """Whether it is called as loggers are here: `log`, `self._log`, `structlog.get_logger(...)`."""
    if isinstance(owner, ast.Call):
        return ast.unparse(owner.func).endswith("get_logger") or ast.unparse(owner.func).endswith("getLogger")
    return ast.unparse(owner).rpartition(".")[2].lower().strip("_") in ("log", "logger")


def direct_calls(tree: ast.AST) -> list[int]:
    """Lines that log without an event of the list."""
    return [call.lineno for call, owner, name in calls_in(tree) if name in CALLS and is_logger(owner)]


def emitted(tree: ast.AST) -> Iterator[tuple[str, frozenset[str]]]:
    """Events by the names of their constants, with the fields that are named there."""
    for call, owner, name in calls_in(tree):
        if name == "emit":
            event = owner if len(call.args) == 1 and not is_logger(owner) else call.args[0]
            fields = frozenset(each.arg for each in call.keywords if each.arg is not None)
            # a constant, or one of two
            yield from ((each.id, fields) for each in ast.walk(event) if isinstance(each, ast.Name))


def test_nothing_is_logged_without_an_event_of_the_list() -> None:
    found = {str(path.relative_to(ROOT)): lines for path in PATHS if (lines := direct_calls(tree_of(path)))}
    assert found.keys() <= FREE.keys(), f"log an event of schemas/log_events.py: {found}"


def test_events_are_made_in_the_list_alone() -> None:
    made = {
        str(path.relative_to(ROOT))
        for path in PATHS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("LogEvent")
    }
    assert made == {"schemas/log_events.py"}


def test_a_line_without_an_event_is_noticed() -> None:
    for line in ("log.warning('x')", "self._log.exception('x')", "structlog.get_logger('opoi').error('x')"):
        assert direct_calls(ast.parse(line)) == [1]
    assert direct_calls(ast.parse("BROKER_UNREACHABLE.emit(log, error='x')\nmath.log(2)")) == []
    assert list(emitted(ast.parse("A.emit(log, b=1)\nself._log.emit(C, d=2, **more)"))) == [
        ("A", {"b"}),
        ("C", {"d"}),
    ]


def test_the_same_event_has_the_same_fields_everywhere() -> None:
    fields: dict[str, set[frozenset[str]]] = {}
    for path in PATHS:
        if str(path.relative_to(ROOT)) not in ("schemas/log_events.py", "streams/runtime/throttled_log.py"):
            for event, names in emitted(tree_of(path)):
                fields.setdefault(event, set()).add(names)
    several = {event: fields[event] for event in EVENTS if len(fields.get(event, ())) > 1}
    assert several == {}, "emit an event with the same fields everywhere"


def test_every_event_is_used() -> None:
    sources = [path.read_text() for path in PATHS if path != ROOT / "schemas" / "log_events.py"]
    unused = [name for name in EVENTS if not any(re.search(rf"\b{name}\b", text) for text in sources)]
    assert unused == [], "emit them, or delete them from schemas/log_events.py"


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_can_be_found_and_acted_on(event: LogEvent) -> None:
    assert [one for one in EVENTS.values() if event.text in one.text] == [event], "grep finds others, too"
    assert re.fullmatch(r"(?:ClickHouse|[a-z]+)[a-z ,-]+[a-z]", event.text)
    assert event.level in get_args(Level)
    assert event.meaning.endswith(".")
    assert (event.remedy != "-") == (event.level not in ("debug", "info")), "a warning says what to do"
    assert not event.remedy.endswith(".")


def test_what_events_name_exists() -> None:
    names = {name for one in EVENTS.values() for name in re.findall(r"\bopoi_\w+", one.meaning + one.remedy)}
    assert names
    assert names <= {one.name for one in metrics()}
    text = "".join(one.meaning + one.remedy for one in EVENTS.values())
    settings = {variable_of(path) for path, _ in fields_of(Settings)}
    assert {*re.findall(r"\bOPOI_[A-Z_]+", text)} <= settings | {"OPOI_HOME", "OPOI_CACHE"}
    assert all((ROOT / page).exists() for page in re.findall(r"\bdocs/[a-z-]+\.md", text))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Logs as a worker does and gives what it wrote."""

    def logged(format_: str, event: LogEvent) -> str:
        logs.configure(LogSettings(format=format_, level="debug"))  # type: ignore[arg-type]
        event.emit(structlog.get_logger("streams.x"), error="e")
        return capsys.readouterr().err

    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook
    yield logged
    root.handlers[:], sys.excepthook = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_is_written_at_its_level_as_plain_text(printed: Any, event: LogEvent) -> None:
    line = json.loads(printed("json", event))
    assert (line["event"], line["level"], line["error"]) == (event.text, event.level, "e")
    assert event.text in printed("text", event)


def test_a_loop_logs_an_event_now_and_then_and_at_once_after_it_was_over() -> None:
    now, event = 0.0, EVENTS["BROKER_UNREACHABLE"]
    log = ThrottledLog(structlog.get_logger(), seconds=30, clock=lambda: now)
    with structlog.testing.capture_logs() as said:
        for now in (0.0, 10.0, 29.0, 30.0, 31.0):
            log.emit(event, error=str(now))
            log.emit(EVENTS["REGISTRY_UNREACHABLE"], error="other")
        log.forget(event)
        log.emit(event, error="again")
    assert [line["error"] for line in said if line["event"] == event.text] == ["0.0", "30.0", "again"]
    assert {line["log_level"] for line in said} == {"warning"}
