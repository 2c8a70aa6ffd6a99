"""What a worker says: one line an event, floods of the libraries cut."""

import json
import logging
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import pytest
import structlog

from streams.runtime import logs
from streams.runtime.logs import LONGEST_TEXT, RateLimit, configure
from streams.settings import LogSettings
from streams.visible import HIDDEN


def record(line: int) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "/a.py", line, "away %s", (1,), None)


def test_a_flood_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    limit = RateLimit(burst=3, seconds=30)
    assert [limit.filter(record(1)) for _ in range(100)] == [True] * 3 + [False] * 97
    assert limit.filter(record(2)), "another kind of line is not held back"
    now += 31
    late = record(1)
    assert limit.filter(late)
    assert late.getMessage() == "away 1 (97 more like this in the 30 s before)"


def test_our_own_lines_are_never_held_back() -> None:
    limit = RateLimit(burst=1, seconds=30)
    ours = logging.LogRecord("streams.x", logging.ERROR, "/a.py", 1, "x", (), None)
    assert [limit.filter(ours) for _ in range(10)] == [True] * 10


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.setLevel(before[0])
    root.handlers[:] = before[1]


class Hostile:
    """A value whose representation is its author's text, as that of a client's error."""

    def __repr__(self) -> str:
        return FORGED


NOW = f"{datetime.now(UTC):%Y-}"
FORGED = "\x1b[2Jx\n1999-11-30T00:00:00Z [info     ] all is well [streams.x]\r\u202e\x9b\u2028y\ud800"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_of_others_forges_a_line_or_repaints_the_screen(
    capsys: pytest.CaptureFixture[str], form: Literal["text", "json"]
) -> None:
    configure(LogSettings(format=form), stage="join")
    log = structlog.get_logger("streams.x")
    log.warning(FORGED)
    log.warning("a value", error=FORGED, without_blank=FORGED.replace(" ", ""), inner={FORGED: [FORGED]})
    log.warning("an object", error=Hostile(), failure=ValueError(FORGED))
    logging.getLogger("aiokafka").warning("of a library: %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        log.exception("a failure")
        logging.getLogger("aiokafka").exception("a failure of a library")
        sys.excepthook(type(error), error, error.__traceback__)
    written = capsys.readouterr().err
    lines = written.split("\n")
    events = [line for line in lines[:-1] if not line.startswith("  ")]
    told = [line for line in lines if "stage" in line and "join" in line]
    assert not [one for one in written if one != "\n" and unicodedata.category(one) in HIDDEN]
    assert (len(events), len(told), lines[-1]) == (7, 7, "")
    assert all(line.startswith('{"' if form == "json" else NOW) for line in events)
    assert written.count("all is well") >= 7


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_written(capsys: pytest.CaptureFixture[str], form: Literal["text", "json"]) -> None:
    configure(LogSettings(format=form), stage="join")
    structlog.get_logger("streams.x").info("it begins", count=3)
    structlog.get_logger("streams.x").debug("not for everyone")
    logging.getLogger("httpx2").info("nobody's news")
    logging.getLogger("httpx2").warning("a warning")
    first, second = capsys.readouterr().err.splitlines()
    if form == "json":
        said = json.loads(first)
        assert (said["event"], said["stage"], said["count"], said["level"]) == (
            "it begins",
            "join",
            3,
            "info",
        )
        assert json.loads(second)["event"] == "a warning"
    else:
        assert "it begins" in first
        assert "stage=join" in first
        assert "a warning" in second


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_is_never_megabytes(capsys: pytest.CaptureFixture[str], form: Literal["text", "json"]) -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        configure(LogSettings(format=form))
        ours, theirs = structlog.get_logger("streams.x"), logging.getLogger("httpx2")
        ours.warning("w" * 8_000_000, key=b"k" * 8_000_000, ids=["i" * 8_000_000], count=3)
        theirs.warning("said %s", "m" * 8_000_000)
        try:
            raise ValueError("v" * 8_000_000)
        except ValueError:
            ours.exception("failed")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    written = capsys.readouterr().err
    assert len(written) < 6 * LONGEST_TEXT
    assert written.count("characters left out") == 5
    assert "ValueError" in written
    assert "count=3" in written or '"count": 3' in written
