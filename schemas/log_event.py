"""A log event: its text, level and meaning, and what to do."""

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What happened; `remedy`: what to do, `-` for nothing."""

    text: str
    level: Level
    meaning: str
    remedy: str = "-"

    def emit(self, log: Any, **fields: object) -> None:
        """Logs the event on `log`, a logger of structlog, at the level of the event."""
        getattr(log, self.level)(self.text, **fields)
