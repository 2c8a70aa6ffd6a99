"""The records in work, kept on disk in case one kills the process; suspects are worked on alone."""

from streams.core.contract import Coordinates
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.in_flight import ModelRun, Runs


class InWork:
    """The records of the runs that are begun. Belongs to the worker's loop."""

    def __init__(self, runs: Runs, guards: CrashGuard) -> None:
        self._runs = runs
        self._guards = guards

    def must_wait(self, at: Coordinates) -> bool:
        """Whether the record at `at` must wait for other runs to end: a suspect is worked on alone, and
        nothing beside it."""
        return bool(self._runs.busy) and (at in self._guards.suspects or self._is_alone)

    def changed(self) -> None:
        """A run was begun, has ended or waits."""
        self._guards.suspects.in_work(self._records())
        metrics.IN_FLIGHT.set(len(self._runs.busy))

    def clear_mark(self) -> None:
        """Clears the mark, unless a suspect is worked on alone."""
        if not self._is_alone:
            self._guards.mark.clear()

    def forget(self, flight: ModelRun) -> None:
        """The run is over and the process lives."""
        self._runs.forget(flight)
        for delivery in flight.deliveries:
            self._guards.harmless(delivery.arrived.coordinates)
        self.changed()

    @property
    def _is_alone(self) -> bool:
        return any(each in self._guards.suspects for each in self._records())

    def _records(self) -> list[Coordinates]:
        return [delivery.arrived.coordinates for flight in self._runs.busy for delivery in flight.deliveries]
