"""Logging of a process: one line an event on stderr, of opoi's loggers and of libraries."""

import logging
import sys
import time
from io import StringIO
from types import TracebackType
from typing import Any, TextIO

import structlog

from schemas.log_events import PROCESS_DIED
from streams.settings import LogSettings
from streams.visible import visible

OURS = ("opoi", "streams", "agent", "sinks", "schemas", "local_stack", "testkit", "bench", "__main__")
LIBRARIES = {
    "faust": logging.INFO,
    "mode": logging.INFO,
    "urllib3": logging.ERROR,
}
"""Minimum level per logger; all others WARNING."""
LONGEST_TEXT = 16 * 1024
"""Characters of one field of a line: a text may quote a record of megabytes."""


def configure(settings: LogSettings, **fixed: Any) -> None:
    """Sets up logging of this process; every line has the fields `fixed`."""

    def with_fixed(_: Any, __: str, event: Any) -> Any:
        return {**fixed, **event}

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_fixed,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendered(settings),
            ],
        )
    )
    handler.addFilter(RateLimit())
    wanted = getattr(logging, settings.level.upper())
    logging.basicConfig(level=max(wanted, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    for library, least in LIBRARIES.items():
        logging.getLogger(library).setLevel(max(wanted, least))


def bounded(_: Any, __: str, event: Any) -> Any:
    """Cuts the middle out of long fields; numbers and None keep their type."""
    return {name: value if name == "exc_info" else _bounded(value) for name, value in event.items()}


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    if len(text) <= LONGEST_TEXT:
        return value
    half = LONGEST_TEXT // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters left out ... {text[-half:]}"


def _rendered(settings: LogSettings) -> list[Any]:
    if settings.format == "json":
        # a traceback is a field, and as long as the message of its exception
        traceback = structlog.processors.format_exc_info
        return [traceback, bounded, structlog.processors.JSONRenderer(default=str)]
    return [
        bounded,
        _one_line,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # the pretty one shows the values of variables, secrets among them
            exception_formatter=_traceback,
        ),
    ]


class _Shown:
    """A value whose representation has control characters escaped."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return visible(repr(self._value))


def _one_line(_: Any, __: str, event: Any) -> Any:
    """The event with control characters escaped: no text begins a line or moves the cursor."""
    shown = {
        visible(name): visible(value) if isinstance(value, str) else _Shown(value)
        for name, value in event.items()
    }
    if "exc_info" in event:
        shown["exc_info"] = event["exc_info"]
    if not _is_ours(event["logger"]):
        # Faust writes tables
        shown["event"] = _indented(str(event["event"]))
    return shown


def _indented(text: str) -> str:
    """The text with all lines but the first indented, so that none looks like an event."""
    return "\n  ".join(map(visible, text.split("\n")))


def _traceback(out: TextIO, error: Any) -> None:
    """Writes the traceback indented, so that a message of several lines forges no event."""
    plain = StringIO()
    structlog.dev.plain_traceback(plain, error)
    out.write(_indented("\n" + str(_bounded(plain.getvalue().strip("\n")))))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        PROCESS_DIED.emit(structlog.get_logger("opoi"), exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)


def _is_ours(logger: str) -> bool:
    return logger.partition(".")[0] in OURS


class RateLimit(logging.Filter):
    """Passes `burst` lines of one kind of a library in `seconds`, then adds how many were dropped.

    With an unreachable broker aiokafka logs a hundred lines a second.
    """

    def __init__(self, burst: int = 5, seconds: float = 30.0) -> None:
        super().__init__()
        self._burst = burst
        self._seconds = seconds
        self._kinds: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is written."""
        if _is_ours(record.name):
            return True
        kind = (record.pathname, record.lineno)
        started, count = self._kinds.get(kind, (0.0, 0))
        now = time.monotonic()
        if count == 0 or now - started > self._seconds:
            held = count - self._burst
            if held > 0:
                record.msg = f"{record.msg} ({held} more like this in the {self._seconds:.0f} s before)"
            self._kinds[kind] = (now, 1)
            return True
        self._kinds[kind] = (started, count + 1)
        return count < self._burst
