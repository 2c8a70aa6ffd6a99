"""What does not come with a record: the operator's word, a broker that is away, a run that hangs."""

import time
from collections.abc import Collection

import structlog

from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.in_flight import ModelRun
from streams.runtime.model_runs.pause import PauseTopic
from streams.runtime.publisher import Publisher

SAY_EVERY = 60.0

log = structlog.get_logger(__name__)


class Monitor:
    """Looks around between two records. `hang_seconds`: what a run may take beyond twice its budget."""

    def __init__(self, controls: PauseTopic, publisher: Publisher, stage: str, hang_seconds: float) -> None:
        self.paused = False
        self._controls = controls
        self._publisher = publisher
        self._stage = stage
        self._hang_seconds = hang_seconds
        self._said: dict[str, float] = {}

    def look(self, flights: Collection[ModelRun]) -> None:
        """Listens to the operator, and says what holds the worker up; `flights`: those that are begun."""
        self._listen(len(flights))
        if (seconds := self._publisher.waiting_seconds) > SAY_EVERY / 2:
            self._say("broker", "results wait for the broker, nothing is lost", seconds=round(seconds))
        now = time.monotonic()
        metrics.UNCOMMITTED_SECONDS.set(now - min((flight.began for flight in flights), default=now))

    def hanging(self, flights: Collection[ModelRun]) -> tuple[ModelRun, TimeoutError] | None:
        """A run that should have ended long ago; it keeps its place, whether somebody wants it or not."""
        now = time.monotonic()
        for flight in flights:
            limit = 2 * flight.asked.request.budget.max_seconds + self._hang_seconds
            if flight.stage == "running" and now - flight.running_since > limit:
                return flight, TimeoutError(f"the run has not ended after {limit:.0f} s")
        return None

    def is_full(self, away: int) -> None:
        """No further requests have room; so many of those in hand wait for what is away."""
        if away:
            self._say("full", "replays are taken in no more until fewer wait", for_what_is_away=away)

    def _listen(self, in_flight: int) -> None:
        control = self._controls.refresh()
        if self.paused and not control.paused:
            log.info("replays go on", stage=self._stage)
            self._said.pop("paused")
        self.paused = control.paused
        metrics.PAUSED.set(control.paused)
        if control.paused:
            self._say(
                "paused",
                "replays are paused: what runs ends, nothing new begins until `opoi replay resume`",
                since=control.at.isoformat() if control.at else "",
                reason=control.reason,
                in_flight=in_flight,
            )

    def _say(self, about: str, what: str, **details: object) -> None:
        now = time.monotonic()
        if now - self._said.get(about, float("-inf")) >= SAY_EVERY:
            self._said[about] = now
            log.warning(what, stage=self._stage, **details)
