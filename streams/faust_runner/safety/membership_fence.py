"""A worker may only write while the group still counts it as a member.

A process that was frozen for longer than the session (a paused container, a starved node) has lost its
partitions without knowing it. If it continued, its older table changes would be in the changelog behind
those of the new owner. So the last answered heartbeat must be young enough before each event, and again
before a batch is sent to the broker: the buffers of a frozen process are older than the freeze. A
worker that learns that the group removed it ends, and its buffers with it.
"""

import asyncio
import time
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.sender import Sender

from streams.faust_runner.safety.patches import patch
from streams.runtime.exit_codes import ExitCode, fail_stop

_do_heartbeat = GroupCoordinator._do_heartbeat
_reset_generation = GroupCoordinator.reset_generation
_send_produce_req = Sender._send_produce_req
POLL = 0.05
"""Seconds between two checks of a fence that does not hold."""
_FENCES: dict[str, "MembershipFence"] = {}


def now() -> float:
    """Seconds on a clock that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class MembershipFence:
    """How long this worker counts as a member of its group. `seconds`: how long a heartbeat counts."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._renewed = now()

    def renew(self) -> None:
        """The group coordinator answered just now."""
        self._renewed = now()

    def holds(self) -> bool:
        """Whether the last answer is young enough."""
        return now() - self._renewed < self._seconds


def fence_of(group: str, seconds: float) -> MembershipFence:
    """The fence of this process in `group`."""
    return _FENCES.setdefault(group, MembershipFence(seconds))


async def do_heartbeat(self: Any) -> bool:
    """One heartbeat; True where the coordinator still counts the member."""
    # a heartbeat counts from its request, not from its answer
    requested_at = now()
    answered: bool = await _do_heartbeat(self)
    fence = _FENCES.get(self.group_id)
    if answered and fence is not None:
        fence._renewed = requested_at
    return answered


def reset_generation(self: Any) -> None:
    """Called if the coordinator does not know the member any more, and when it leaves."""
    fence = _FENCES.get(self.group_id)
    if fence is not None and not fence.holds() and self.generation > 0 and not self._closing.done():
        fail_stop(
            ExitCode.EXPELLED,
            f"group {self.group_id} gave this worker's partitions away while it did not answer; stopping, "
            "what it had not sent yet stays unsent and is done again by the new owner",
        )
    _reset_generation(self)


async def send_produce_req(self: Any, node_id: int, batches: dict[Any, Any]) -> None:
    """Sends batches to a broker."""
    while not all(fence.holds() for fence in _FENCES.values()):
        await asyncio.sleep(POLL)
    await _send_produce_req(self, node_id, batches)


PATCHES = (
    patch(
        "lease",
        GroupCoordinator,
        "reset_generation",
        "537aa37c531b4de9c2e24601634cc4b0d4cfa592ee8c51c26bfeead9b7e12443",
        reset_generation,
    ),
    patch(
        "lease",
        Sender,
        "_send_produce_req",
        "aea01ae4b6c794cc153598ced2d7bc44e5eec2b5407b876bf7535244478446ee",
        send_produce_req,
    ),
    patch(
        "lease",
        GroupCoordinator,
        "_do_heartbeat",
        "dc1d6632aaa68e964cf71958a17ebd8a807795edccfac52029f37c233e8e70eb",
        do_heartbeat,
    ),
)
