"""Deadlines on a real table: they wait for the sources, and survive a restart."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from schemas.records import EndOffset, Tick
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, PAIRS, RIGHT
from testkit.faust.workers import Worker, running, wait_until_drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
PARTITIONS = 2


def tick(bed: Bed, *, beyond: int = 0) -> None:
    """One tick a partition, an hour from now; `beyond`: so many offsets past what was fed."""
    bed.flush()
    for partition in range(PARTITIONS):
        ends = {
            topic: sum(place[:2] == (topic, partition) for place in bed.fed) + beyond
            for topic in (LEFT, RIGHT)
        }
        made = Tick(
            stage=bed.stage,
            partition=partition,
            partitions=PARTITIONS,
            at=datetime.now(UTC) + timedelta(hours=1),
            end_offsets=tuple(EndOffset(topic=topic, offset=offset) for topic, offset in ends.items()),
        )
        topic = f"opoi.ticks.{bed.stage}"
        bed.producer.produce(bed.kafka.physical(topic), made.model_dump_json().encode(), partition=partition)
    bed.producer.flush(30)


def expired(bed: Bed) -> set[str]:
    """Ids that came out with one half."""
    found = [json.loads(value or b"") for _, value, _ in bed.read(PAIRS)]
    return {one["id"] for one in found if one["left"] is None or one["right"] is None}


def test_deadlines_wait_for_the_sources_and_survive_a_restart(
    make_bed: Callable[..., Bed],
) -> None:
    bed = make_bed(partitions=PARTITIONS)
    worker = Worker(bed, "1", more=["--expire", "60"])
    for number in range(20):
        bed.send(LEFT, f"id{number}", number)
    for number in range(10):
        bed.send(RIGHT, f"id{number}", number)
    with running(worker):
        assert wait_until_drained(bed, [worker], 120), worker.log.read_text()[-3000:]
        tick(bed, beyond=5)
        # what follows the tick shows that the tick itself was handled
        bed.send(LEFT, "id100", 100)
        assert wait_until_drained(bed, [worker], 120)
        worker.stop()
        assert expired(bed) == set()
        worker.wipe()
        worker.start()
        tick(bed)
        assert wait_until_drained(bed, [worker], 120, also=f"opoi.ticks.{bed.stage}")
        worker.stop()
    assert worker.exits == []
    assert expired(bed) == {*(f"id{number}" for number in range(10, 20)), "id100"}
