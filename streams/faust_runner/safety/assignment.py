"""No worker sits in its group without partitions that are there for it.

Where the broker went away between a worker's first question for metadata and its joining, aiokafka joins
with what it knows: nothing. Faust's assignor passes over what it does not know, and the worker gets no
partitions until the metadata are read again, five minutes later. A restart does not help: a member that
comes back under its name gets what the coordinator has stored for it, without anybody sharing out anew.
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
"""Seconds between two questions for metadata."""
SAY_SECONDS = 5.0

log = structlog.get_logger(__name__)


async def perform_assignment(self: Any, response: Any) -> Any:
    """Called where the coordinator made this member the leader; the assignment of each member.

    Waits as long as a topic is unknown. A coordinator that loses its patience meanwhile has the member
    join again, and the watchdog ends one that waits for what never comes.
    """
    decode = ConsumerProtocol.METADATA.decode
    subscribed = {topic for member in response.members for topic in decode(member[-1]).subscription}
    self._client.set_topics(subscribed)
    said = time.monotonic()
    while missing := sorted(each for each in subscribed if not self._cluster.partitions_for_topic(each)):
        if self._closing.done():
            # none is better than an empty one: a static member would get that again
            raise errors.KafkaError(f"closed while nothing was known of {', '.join(missing)}")
        await self._client.force_metadata_update()
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            TOPICS_UNKNOWN.emit(log, missing=missing)
        await asyncio.sleep(POLL)
    return await _perform_assignment(self, response)


async def on_join_follower(self: Any) -> bytes | None:
    """Called where the coordinator made another member the leader, or says so; this member's assignment.

    One without partitions joins once more: where it is the leader in truth, the partitions are shared out.
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
