"""Requests that are cancelled because another verdict counts now.

The trigger writes cancellations to `opoi.cancellations`, only if requests were still open. A worker reads
that topic whole before its first request, so a cancellation holds over restarts. In the requests' own topic
the cancellation would come after the requests that it cancels.
"""

from datetime import UTC, datetime

from schemas.identity import decision_key
from schemas.record import Record
from schemas.records import Cancellation, ReplayRequest

TOPIC = "opoi.cancellations"
FORGET_EVERY = 1000


class Cancellations:
    """Cancellations by decision. After its `until` a cancellation has no effect and is forgotten."""

    def __init__(self) -> None:
        self._below: dict[str, tuple[int, datetime]] = {}

    def __len__(self) -> int:
        return len(self._below)

    def take(self, record: Record) -> None:
        """Adds one cancellation; the order does not matter."""
        assert isinstance(record, Cancellation)
        key = decision_key(record.agent, record.decision_id)
        number, until = self._below.get(key, (0, record.until))
        self._below[key] = max(number, record.case_number), max(until, record.until)
        if len(self._below) % FORGET_EVERY == 0:
            now = datetime.now(UTC)
            self._below = {key: held for key, held in self._below.items() if held[1] >= now}

    def covers(self, request: ReplayRequest) -> bool:
        """Whether `request` is cancelled."""
        found = self._below.get(decision_key(request.agent, request.decision_id))
        return found is not None and request.case_number < found[0] and found[1] >= datetime.now(UTC)
