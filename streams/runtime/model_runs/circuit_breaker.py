"""A circuit breaker: while a dependency is unreachable one run probes it, and the others wait."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schemas.log_events import DEPENDENCY_REACHABLE, DEPENDENCY_UNREACHABLE
from streams.runtime.throttled_log import ThrottledLog

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
LONGEST_ASKED = 600.0
"""Longest delay that the dependency itself may ask for."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to try once; given back by `success`, `failure` or `release`."""

    probe: bool


class CircuitBreaker:
    """The circuit breaker of `target`; `url`: its address, if it has one. Times in seconds. Thread-safe."""

    def __init__(
        self,
        target: str,
        url: str = "",
        *,
        first_wait: float = FIRST_WAIT,
        longest_wait: float = LONGEST_WAIT,
        on_change: Callable[[bool], None] = lambda away: None,
    ) -> None:
        self.why = ""
        """Text of the last failure."""
        self._target = target
        self._url = url
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._on_change = on_change
        self._changed = threading.Condition()
        self._since: float | None = None
        self._next = 0.0
        self._failures = 0
        self._probing = False
        self._log = ThrottledLog(log)

    @property
    def is_open(self) -> bool:
        """Whether `target` is unreachable."""
        return self._since is not None

    @property
    def is_ready(self) -> bool:
        """Whether `acquire` would give a permit now."""
        with self._changed:
            return self._since is None or (not self._probing and time.monotonic() >= self._next)

    def acquire(self, wait: float = 0.0) -> Permit | None:
        """A permit, after at most `wait` seconds; None: still unreachable, or another one probes."""
        end = time.monotonic() + wait
        with self._changed:
            while self._since is not None:
                now = time.monotonic()
                if not self._probing and now >= self._next:
                    self._probing = True
                    return Permit(probe=True)
                if now >= end:
                    return None
                self._changed.wait((end if self._probing else min(end, self._next)) - now)
            return Permit(probe=False)

    def success(self, permit: Permit) -> None:
        """It answered. Only a probe ends an outage: other answers may be from before it began."""
        if not permit.probe:
            return
        with self._changed:
            assert self._since is not None
            away_seconds = round(time.monotonic() - self._since, 1)
            DEPENDENCY_REACHABLE.emit(log, target=self._target, url=self._url, away_seconds=away_seconds)
            self._log.forget(DEPENDENCY_UNREACHABLE)
            self._since, self._failures, self._probing = None, 0, False
            self._changed.notify_all()
        self._on_change(False)

    def failure(self, permit: Permit, why: str, retry_after: float | None = None) -> None:
        """It did not answer; `retry_after`: the delay that it asks for."""
        with self._changed:
            self.why = why
            began = self._since is None
            if not began and not permit.probe:
                return
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            wait = min(self._first_wait * 2.0**self._failures, self._longest_wait) * random.uniform(0.8, 1.2)
            self._next = now + max(wait, min(retry_after or 0.0, LONGEST_ASKED))
            self._failures += 1
            if permit.probe:
                self._probing = False
            self._log.emit(
                DEPENDENCY_UNREACHABLE,
                target=self._target,
                url=self._url,
                error=why,
                away_seconds=round(now - self._since, 1),
                next_try_seconds=round(self._next - now, 1),
            )
            self._changed.notify_all()
        if began:
            self._on_change(True)

    def release(self, permit: Permit) -> None:
        """The try did not show whether it is reachable."""
        if permit.probe:
            with self._changed:
                self._probing = False
                self._changed.notify_all()
