"""A worker may only write while the group still counts it as a member.

A process that stood still for longer than the session (a paused container, a starved node) has lost its
partitions without knowing it. If it goes on, its older table changes land in the changelog behind those
of the new owner. So before each event the last answered heartbeat must be young enough.
"""

import time
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

from streams.faust_safety.pins import patch

_do_heartbeat = GroupCoordinator._do_heartbeat
_LEASES: dict[str, "Lease"] = {}


def now() -> float:
    """Seconds on a clock that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Until when the group holds this worker for a member. `seconds`: how long an answer counts."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._renewed = now()

    def renew(self) -> None:
        """The group coordinator answered just now."""
        self._renewed = now()

    def holds(self) -> bool:
        """Whether the last answer is young enough."""
        return now() - self._renewed < self._seconds


def lease_of(group: str, seconds: float) -> Lease:
    """The lease of this process in `group`."""
    return _LEASES.setdefault(group, Lease(seconds))


async def do_heartbeat(self: Any) -> bool:
    """One heartbeat; True where the coordinator still counts the member."""
    # the lease runs from when the question was asked, not from when the answer came
    asked = now()
    answered: bool = await _do_heartbeat(self)
    lease = _LEASES.get(self.group_id)
    if answered and lease is not None:
        lease._renewed = asked
    return answered


PATCHES = (
    patch(
        "lease",
        GroupCoordinator,
        "_do_heartbeat",
        "dc1d6632aaa68e964cf71958a17ebd8a807795edccfac52029f37c233e8e70eb",
        do_heartbeat,
    ),
)
