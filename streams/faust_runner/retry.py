"""Waits in place for what is unreachable, without delaying a stop or a rebalance."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from schemas.errors import RegistryAway
from schemas.log_events import BROKER_UNREACHABLE, REGISTRY_UNREACHABLE
from streams.faust_runner.safety.offset_probe import ProbeAway
from streams.faust_runner.safety.watchdog import WorkerProgress
from streams.runtime import metrics
from streams.runtime.throttled_log import ThrottledLog

Answer = TypeVar("Answer")

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
LOOK_EVERY = 0.1

log = structlog.get_logger(__name__)


class RetryAborted(Exception):
    """The event is released unfinished: the worker stops or its partitions are revoked."""


class RetryPolicy:
    """Retries with exponential back-off until it works. Times in seconds."""

    def __init__(self, stage: str, progress: WorkerProgress, is_aborted: Callable[[], bool]) -> None:
        self._stage = stage
        self._progress = progress
        self._is_aborted = is_aborted
        self._log = ThrottledLog(log)

    async def until_done(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """Answer of `attempt`, once registry and broker are reachable. Raises `RetryAborted`."""
        wait = FIRST_WAIT
        try:
            while True:
                try:
                    return await attempt()
                except ProbeAway as error:
                    # the watchdog asks the broker itself
                    self._log.emit(BROKER_UNREACHABLE, error=str(error))
                except RegistryAway as error:
                    self._progress.waiting = str(error)
                    self._log.emit(REGISTRY_UNREACHABLE, error=str(error))
                metrics.WAITS.labels(self._stage).inc()
                await self._sleep(wait, "what the stage needs is unreachable")
                wait = min(2 * wait, LONGEST_WAIT)
        finally:
            self._progress.waiting = ""

    async def until_true(self, condition: Callable[[], bool], reason: str) -> None:
        """Returns once `condition` holds; logs `reason` while it waits. Raises `RetryAborted`."""
        while not condition():
            self._log.emit(BROKER_UNREACHABLE, error=reason)
            await self._sleep(LOOK_EVERY, reason)

    async def _sleep(self, seconds: float, reason: str) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._is_aborted():
                raise RetryAborted(reason)
            await asyncio.sleep(min(LOOK_EVERY, seconds))
