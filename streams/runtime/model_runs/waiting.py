"""Requests that wait for a place or for what is unreachable, and which of them is next."""

from collections.abc import Iterable, Iterator

from streams.runtime.delivery import Delivery
from streams.runtime.model_runs.in_flight import ModelRun, Runs, agent_of
from streams.runtime.model_runs.limits import MOST_WAITING_BYTES, RunLimits
from streams.runtime.offsets import Source


class Waiting:
    """The requests of a worker that were not read yet, beside the `runs` that wait. Belongs to its loop."""

    def __init__(self, runs: Runs, bounds: RunLimits) -> None:
        self._runs = runs
        self._most = bounds.most_waiting
        self._deliveries: list[Delivery] = []
        self._was_full = False

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Adds received requests."""
        self._deliveries.extend(deliveries)

    def remove(self, delivery: Delivery) -> None:
        """Removes a request that was read."""
        self._deliveries.remove(delivery)

    def drop(self, going: frozenset[Source] = frozenset()) -> None:
        """Drops requests of partitions that are revoked: another worker has them."""
        self._deliveries = [one for one in self._deliveries if one.live and one.source not in going]

    @property
    def is_full(self) -> bool:
        """Whether there is no room for further ones; with hysteresis."""
        share = 0.5 if self._was_full else 1.0
        sizes = [len(one.arrived.value or b"") for one in self._all()]
        self._was_full = len(sizes) >= self._most * share or sum(sizes) >= MOST_WAITING_BYTES * share
        return self._was_full

    def next(self, *, unread: bool) -> ModelRun | Delivery | None:
        """What to begin next: the oldest of the agent with the fewest runs.

        Runs that wait for what is still unreachable are skipped; with `unread` False, unread requests too.
        """
        busy = self._runs.by_agent
        ready: list[ModelRun | Delivery] = [*self._runs.ready, *(self._deliveries if unread else ())]
        return min(
            ready,
            key=lambda one: busy[one.agent if isinstance(one, ModelRun) else agent_of(one)],
            default=None,
        )

    def _all(self) -> Iterator[Delivery]:
        yield from self._deliveries
        for flight in self._runs.waiting:
            yield flight.deliveries[0]
