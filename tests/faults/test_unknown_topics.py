"""Whoever shares partitions out knows of them, also where the broker was away when it joined."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator

from bench.faust_harness import Bed
from bench.faust_pairs import LEFT
from streams.faust_safety import assignment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
UNANSWERED = 3
SHARES = {"repaired": assignment.perform_assignment, "as shipped": assignment._perform_assignment}


@pytest.mark.parametrize(("share", "got"), [("repaired", {0, 1, 2, 3}), ("as shipped", set())])
def test_a_leader_that_knows_no_topic_when_it_joins(
    make_bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch, share: str, got: set[int]
) -> None:
    bed = make_bed(partitions=4)
    unanswered = UNANSWERED
    joined = False

    async def share_out(self: Any, response: Any) -> Any:
        nonlocal joined
        joined = True
        return await SHARES[share](self, response)

    async def assigned() -> set[int]:
        nonlocal unanswered
        consumer = AIOKafkaConsumer(bootstrap_servers=bed.bootstrap, group_id=bed.stage)
        ask = consumer._client._metadata_update

        async def ask_in_vain_at_first(cluster: Any, topics: Any) -> bool:
            nonlocal unanswered
            if topics and unanswered:
                unanswered -= joined
                cluster.failed_update(None)
                return False
            return bool(await ask(cluster, topics))

        consumer._client._metadata_update = ask_in_vain_at_first
        await consumer.start()
        try:
            # as Faust does: start first, subscribe then
            consumer.subscribe([bed.kafka.physical(LEFT)])
            await consumer._subscription.wait_for_assignment()
            return {each.partition for each in consumer.assignment()}
        finally:
            await consumer.stop()

    monkeypatch.setattr(GroupCoordinator, "_perform_assignment", share_out)
    assert asyncio.run(assigned()) == got
