"""Throttles events that a loop would log in every turn."""

import time
from collections.abc import Callable
from typing import Any

from schemas.log_event import LogEvent

INTERVAL_SECONDS = 30.0


class ThrottledLog:
    """Logs each event at most once in `seconds`, with the fields of that moment."""

    def __init__(
        self,
        log: Any,
        *,
        seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._logged: dict[LogEvent, float] = {}

    def emit(self, event: LogEvent, **fields: object) -> None:
        """Logs `event` unless it was logged within the last `seconds`."""
        now = self._clock()
        if now - self._logged.get(event, float("-inf")) >= self._seconds:
            self._logged[event] = now
            event.emit(self._log, **fields)

    def forget(self, event: LogEvent) -> None:
        """The next `event` is logged at once."""
        self._logged.pop(event, None)
