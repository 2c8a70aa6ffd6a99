"""One JSON line per log event on stderr, for opoi's own loggers and for the libraries'."""

import logging
import sys
from typing import Any

import structlog

from streams.faust_safety.app_settings import RateLimit

LIBRARIES = ("aiokafka", "faust", "mode")


def configure(level: str, **fixed: Any) -> None:
    """Sets up logging of this process; `fixed` stands on every line. Levels: debug, info, warning, error."""

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
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    wanted = getattr(logging, level.upper())
    logging.basicConfig(level=wanted, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for library in LIBRARIES:
        logger = logging.getLogger(library)
        # below INFO these libraries spend a twentieth of the processor's time on lines nobody reads
        logger.setLevel(max(wanted, logging.INFO if library != "aiokafka" else logging.WARNING))
    handler.addFilter(OfLibraries(RateLimit()))


class OfLibraries(logging.Filter):
    """Applies another filter to the loggers of the libraries alone."""

    def __init__(self, inner: logging.Filter) -> None:
        super().__init__()
        self._inner = inner

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is written."""
        return record.name.partition(".")[0] not in LIBRARIES or bool(self._inner.filter(record))
