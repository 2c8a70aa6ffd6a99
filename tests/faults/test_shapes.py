"""Stages whose topics have different partition counts."""

from collections.abc import Callable

import pytest

from schemas.stages import DEAD_LETTERS, DISPOSITIONS
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, PAIRS, RIGHT
from testkit.faust.workers import Worker, running, wait_until_drained

MakeBed = Callable[..., Bed]
IDS = 40
POISON = 12


def feed_with_poison(bed: Bed) -> None:
    """Feeds halves, and bytes that nobody can decode into every partition."""
    for number in range(POISON):
        bed.send_raw(LEFT, f"poison{number}".encode(), b"\xff", f"poison{number}")
    bed.send_raw(RIGHT, None, b"\xff", "poison without a key")
    bed.feed(LEFT, range(IDS))
    bed.feed(RIGHT, range(IDS))


@pytest.mark.parametrize(
    ("partitions", "others"),
    [(4, {PAIRS: 1, DISPOSITIONS: 3, DEAD_LETTERS: 1}), (1, {PAIRS: 4, DISPOSITIONS: 4, DEAD_LETTERS: 4})],
    ids=["fewer", "more"],
)
def test_what_a_stage_writes_to_may_have_any_partition_count(
    make_bed: MakeBed, partitions: int, others: dict[str, int]
) -> None:
    bed = make_bed(partitions, **others)
    feed_with_poison(bed)
    with running(Worker(bed, "1")) as worker:
        assert wait_until_drained(bed, [worker])
        worker.stop()
    report = bed.report()
    assert (worker.exits, report.lost, report.unpaired, report.stale) == ([], [], 0, 0)
    assert report.dead == POISON + 1


def test_a_stage_without_memory_reads_sources_of_any_partition_count(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=4, **{RIGHT: 1})
    feed_with_poison(bed)
    workers = [Worker(bed, name, more=["--stateless"]) for name in ("1", "2")]
    with running(workers[0]), running(workers[1]):
        assert wait_until_drained(bed, workers)
        for worker in workers:
            worker.stop()
    report = bed.report()
    assert [worker.exits for worker in workers] == [[], []]
    assert (report.lost, report.undone, report.dead) == ([], 0, POISON + 1)
