"""When the keys of one partition next want to be woken, in memory."""

import heapq
from datetime import datetime


class Deadlines:
    """Deadlines by key; setting one again replaces it."""

    def __init__(self) -> None:
        self._when: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: str, when: datetime | None) -> None:
        """`key` wants to be woken at `when`; None: never."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))

    def pop_due(self, now: datetime, limit: int) -> list[str]:
        """At most `limit` keys whose deadline is at or before `now`, earliest first; they are forgotten."""
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            when, key = heapq.heappop(self._heap)
            if self._when.get(key) == when:
                del self._when[key]
                due.append(key)
        return due
