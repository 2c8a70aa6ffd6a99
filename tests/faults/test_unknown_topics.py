"""A worker gets the partitions that are there for it, also where the broker was away when it joined."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator

from streams.faust_runner.safety import assignment
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
MakeBed = Callable[..., Bed]
ALL = {0, 1, 2, 3}


async def partitions(bed: Bed, *, unanswered: int = 0) -> set[int]:
    """What the group gives to a member "1".

    Its questions for topics are not answered before it was made the leader, nor are `unanswered` thereafter.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bed.bootstrap, group_id=bed.stage, group_instance_id="1", retry_backoff_ms=50
    )
    await consumer.start()
    coordinator, client = consumer._coordinator, consumer._client
    share, ask, leads = coordinator._perform_assignment, client._metadata_update, False

    async def shares(response: Any) -> Any:
        nonlocal leads
        leads = True
        return await share(response)

    async def asks(cluster: Any, topics: Any) -> bool:
        nonlocal unanswered
        if topics and unanswered:
            unanswered -= leads
            cluster.failed_update(None)
            return False
        return bool(await ask(cluster, topics))

    coordinator._perform_assignment, client._metadata_update = shares, asks
    try:
        # as Faust does: start first, subscribe then
        consumer.subscribe([bed.kafka.physical(LEFT)])
        await consumer._subscription.wait_for_assignment()
        for _ in range(20):
            if consumer.assignment():
                break
            await asyncio.sleep(0.1)
        return {each.partition for each in consumer.assignment()}
    finally:
        await consumer.stop()


@pytest.fixture
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """aiokafka without the repairs, until it is undone."""
    monkeypatch.setattr(GroupCoordinator, "_perform_assignment", assignment._perform_assignment)
    monkeypatch.setattr(CoordinatorGroupRebalance, "_on_join_follower", assignment._on_join_follower)
    return monkeypatch


def test_a_leader_that_knows_no_topic_asks_until_it_does(make_bed: MakeBed) -> None:
    assert asyncio.run(partitions(make_bed(partitions=4), unanswered=3)) == ALL


def test_a_member_that_was_given_nothing_gets_out_of_it(
    make_bed: MakeBed, as_shipped: pytest.MonkeyPatch
) -> None:
    bed = make_bed(partitions=4)
    assert asyncio.run(partitions(bed, unanswered=3)) == set(), "it takes what it knows for all there is"
    assert asyncio.run(partitions(bed)) == set(), "a restart brings back what the coordinator has stored"
    as_shipped.undo()
    assert asyncio.run(partitions(bed)) == ALL
