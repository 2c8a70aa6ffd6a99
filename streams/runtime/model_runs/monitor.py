"""State beside the records: the operator's pause, an unreachable broker, runs that hang."""

import time
from collections.abc import Collection

import structlog

from schemas.log_events import BROKER_UNREACHABLE, REPLAYS_FULL, REPLAYS_PAUSED, REPLAYS_RESUMED
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.in_flight import ModelRun
from streams.runtime.model_runs.pause import PauseTopic
from streams.runtime.publisher import Publisher
from streams.runtime.throttled_log import ThrottledLog

SLOW_SECONDS = 30.0
"""A broker that does not acknowledge for so long is logged as unreachable."""

log = structlog.get_logger(__name__)


class Monitor:
    """Updated between two records. `hang_seconds`: what a run may take beyond twice its budget."""

    def __init__(self, controls: PauseTopic, publisher: Publisher, hang_seconds: float) -> None:
        self.paused = False
        self._controls = controls
        self._publisher = publisher
        self._hang_seconds = hang_seconds
        self._log = ThrottledLog(log)

    def update(self, flights: Collection[ModelRun]) -> None:
        """Reads the operator's pause and logs what delays the worker; `flights`: the busy runs."""
        self._listen(len(flights))
        if (seconds := self._publisher.waiting_seconds) > SLOW_SECONDS:
            self._log.emit(BROKER_UNREACHABLE, error=f"results are not acknowledged for {seconds:.0f} s")
        now = time.monotonic()
        metrics.UNCOMMITTED_SECONDS.set(now - min((flight.began for flight in flights), default=now))

    def hanging(self, flights: Collection[ModelRun]) -> tuple[ModelRun, TimeoutError] | None:
        """A run that hangs, with the error; it occupies a place even if its partition was revoked."""
        now = time.monotonic()
        for flight in flights:
            limit = 2 * flight.job.request.budget.max_seconds + self._hang_seconds
            if flight.stage == "running" and now - flight.running_since > limit:
                return flight, TimeoutError(f"the run has not ended after {limit:.0f} s")
        return None

    def is_full(self, waiting: int) -> None:
        """No room for further requests; `waiting` of those in hand wait for what is unreachable."""
        if waiting:
            self._log.emit(REPLAYS_FULL, waiting=waiting)

    def _listen(self, in_flight: int) -> None:
        control = self._controls.refresh()
        if self.paused and not control.paused:
            REPLAYS_RESUMED.emit(log)
            self._log.forget(REPLAYS_PAUSED)
        self.paused = control.paused
        metrics.PAUSED.set(control.paused)
        if control.paused:
            self._log.emit(
                REPLAYS_PAUSED,
                since=control.at.isoformat() if control.at else "",
                reason=control.reason,
                in_flight=in_flight,
            )
