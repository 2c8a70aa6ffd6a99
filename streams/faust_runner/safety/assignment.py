"""Every worker gets the partitions that are free for it.

If the broker stops answering between a worker's first request for metadata and its join, aiokafka joins
without any metadata. Faust's assignor skips unknown topics, and the worker gets no partitions until the
metadata are read again, five minutes later. A restart does not help: a member that returns under its name
gets the assignment that the coordinator has stored, without a new one.
"""

import asyncio
import time
from typing import Any

import structlog
from aiokafka import errors
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocol

from schemas.log_events import TOPICS_UNKNOWN
from streams.faust_runner.safety.patches import patch

_perform_assignment = GroupCoordinator._perform_assignment
_on_join_follower = CoordinatorGroupRebalance._on_join_follower

POLL = 0.1
"""Seconds between two requests for metadata."""
SAY_SECONDS = 5.0

log = structlog.get_logger(__name__)


async def perform_assignment(self: Any, response: Any) -> Any:
    """Called if the coordinator made this member the leader; returns the assignment of each member.

    Waits as long as a topic is unknown. If that takes too long, the coordinator makes the member join again,
    and at last the watchdog ends the worker.
    """
    decode = ConsumerProtocol.METADATA.decode
    subscribed = {topic for member in response.members for topic in decode(member[-1]).subscription}
    self._client.set_topics(subscribed)
    logged_at = time.monotonic()
    while missing := sorted(each for each in subscribed if not self._cluster.partitions_for_topic(each)):
        if self._closing.done():
            # no assignment is better than an empty one, which a static member would get again
            raise errors.KafkaError(f"closed while nothing was known of {', '.join(missing)}")
        await self._client.force_metadata_update()
        if time.monotonic() - logged_at > SAY_SECONDS:
            logged_at = time.monotonic()
            TOPICS_UNKNOWN.emit(log, missing=missing)
        await asyncio.sleep(POLL)
    return await _perform_assignment(self, response)


async def on_join_follower(self: Any) -> bytes | None:
    """Called if another member is the leader according to the coordinator; returns this member's assignment.

    A member without partitions joins once more: if it is the leader, it assigns them then.
    """
    encoded: bytes | None = await _on_join_follower(self)
    if encoded is not None:
        empty = not ConsumerProtocol.ASSIGNMENT.decode(encoded).partitions()
        if empty and not getattr(self._coordinator, "asked_again", False):
            self._coordinator.request_rejoin()
        self._coordinator.asked_again = empty
    return encoded


PATCHES = (
    patch(
        "assignment",
        GroupCoordinator,
        "_perform_assignment",
        "a5cf61fa973201996a1b81e3486e6928dd7bf3f9f8e0384a2fbd0085f774f125",
        perform_assignment,
    ),
    patch(
        "assignment",
        CoordinatorGroupRebalance,
        "_on_join_follower",
        "813cf1dd0a13b91d1735e83bc5c92cffe96f1374156dde6ce13edca561ce225d",
        on_join_follower,
    ),
)
