"""A warning that would be said at every turn of a loop, said now and then."""

import time
from collections.abc import Callable
from typing import Any

SAY_EVERY = 30.0


class ThrottledLog:
    """Logs each event once in `seconds` at most, with the fields of the moment; `fields` with all of them."""

    def __init__(
        self,
        log: Any,
        *,
        seconds: float = SAY_EVERY,
        clock: Callable[[], float] = time.monotonic,
        **fields: object,
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._fields = fields
        self._said: dict[str, float] = {}

    def warning(self, event: str, **fields: object) -> None:
        """`event` is the same text each time; what changes goes into `fields`."""
        now = self._clock()
        if now - self._said.get(event, float("-inf")) >= self._seconds:
            self._said[event] = now
            self._log.warning(event, **self._fields, **fields)

    def forget(self, event: str) -> None:
        """The next `event` is said at once."""
        self._said.pop(event, None)
