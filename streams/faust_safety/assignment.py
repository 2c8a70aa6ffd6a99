"""The group's leader shares partitions out only once it knows of every topic.

Where the broker went away between a worker's first question for metadata and its joining, aiokafka joins
with what it knows: nothing. Faust's assignor passes over what it does not know, the worker gets no
partitions, and the group keeps to that until the metadata are read again, five minutes later.
"""

import asyncio
import time
from typing import Any

import structlog
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocol

from streams.faust_safety.pins import patch

_perform_assignment = GroupCoordinator._perform_assignment

POLL = 0.1
"""Seconds between two questions for metadata."""
SAY_SECONDS = 30.0

log = structlog.get_logger(__name__)


async def perform_assignment(self: Any, response: Any) -> Any:
    """Called where the coordinator made this member the leader; the assignment of each member.

    Waits as long as a topic is unknown. A coordinator that loses its patience meanwhile has the member
    join again, and the watchdog ends one that waits for what never comes.
    """
    decode = ConsumerProtocol.METADATA.decode
    subscribed = {topic for member in response.members for topic in decode(member[-1]).subscription}
    self._client.set_topics(subscribed)
    said = float("-inf")
    while missing := sorted(each for each in subscribed if not self._cluster.partitions_for_topic(each)):
        if self._closing.done():
            # none is better than an empty one: a static member would get that again
            raise errors.KafkaError(f"closed while nothing was known of {', '.join(missing)}")
        await self._client.force_metadata_update()
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            log.warning("partitions are shared out once the broker tells of every topic", missing=missing)
        await asyncio.sleep(POLL)
    return await _perform_assignment(self, response)


PATCHES = (
    patch(
        "assignment",
        GroupCoordinator,
        "_perform_assignment",
        "a5cf61fa973201996a1b81e3486e6928dd7bf3f9f8e0384a2fbd0085f774f125",
        perform_assignment,
    ),
)
