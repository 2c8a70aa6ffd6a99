"""Logs of the workers that are not on Faust: one line an event on stderr, as text or as JSON."""

import sys
from typing import Any

import structlog

from streams.settings import LogSettings


def configure(settings: LogSettings, **fixed: Any) -> None:
    """Sets up structlog of this process; `fixed` stands on every line."""
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # the pretty one shows the values of variables, secrets among them
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    shared: list[Any] = [
        lambda _, __, event: {**fixed, **event},
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
