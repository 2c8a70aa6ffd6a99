"""Offsets: in whatever order work ends, nothing is committed past and nothing that was done is done again."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.offsets import MAX_OPEN, Offsets, PartitionOffsets, Position, Source

SOURCE = Source("requests", 0)


def test_the_oldest_unfinished_record_holds_the_commit() -> None:
    partition = PartitionOffsets(None)
    assert partition.position() is None
    assert all(partition.take(offset) for offset in (5, 6, 7))
    partition.done(6)
    assert partition.position() == Position((5, 7), 8)
    partition.done(5)
    assert partition.position() == Position((7,), 8)
    partition.done(7)
    assert partition.position() == Position((), 8)


def test_what_is_done_beyond_the_commit_is_not_done_again() -> None:
    first = PartitionOffsets(None)
    for offset in range(6):
        first.take(offset)
    for offset in (1, 3, 4):
        first.done(offset)
    position = first.position()
    assert position is not None
    second = PartitionOffsets(Position.parse(position.offset, position.metadata))
    # what was known survives a commit before the records have come again
    assert second.position() == position
    assert [offset for offset in range(8) if second.take(offset)] == [0, 2, 5, 6, 7]


def test_foreign_metadata_says_nothing() -> None:
    for metadata in (None, "", "by hand", "opoi1:x:", "opoi1:3:1,9", "opoi1:0:", "opoi1:5:0", "opoi2:5:1"):
        assert Position.parse(7, metadata) == Position((), 7)


def test_a_log_made_anew_is_read_from_its_start() -> None:
    partition = PartitionOffsets(Position.parse(100, "opoi1:10:4"))
    assert partition.take(0)
    assert partition.take(1)
    assert partition.position() == Position((0, 1), 2)


def test_records_that_retention_deleted_do_not_hold_the_commit() -> None:
    partition = PartitionOffsets(Position((10, 12, 20), 30))
    assert partition.take(20)
    assert partition.position() == Position((20,), 30)
    partition.done(20)
    assert partition.position() == Position((), 30)


def test_a_record_that_was_done_in_this_assignment_is_not_taken_again() -> None:
    partition = PartitionOffsets(None)
    partition.take(3)
    partition.done(3)
    assert not partition.take(3)


def test_too_many_unfinished_records_claim_less() -> None:
    position = Position.of(range(0, 4 * MAX_OPEN, 2), 4 * MAX_OPEN)
    assert len(position.unfinished) == MAX_OPEN
    assert position.end == 2 * MAX_OPEN
    assert len(position.metadata) < 4096
    assert not position.covers(2 * MAX_OPEN + 1)


def test_what_ended_with_its_assignment_counts_no_more() -> None:
    offsets = Offsets()
    offsets.begin(SOURCE, None)
    before = offsets[SOURCE]
    before.take(0)
    offsets.end(SOURCE)
    assert not before.live
    before.done(0)
    assert offsets.due() == {}
    offsets.begin(SOURCE, Position((), 0))
    assert offsets[SOURCE].take(0)
    assert offsets.due() == {}, "a commit that moves nothing"
    assert not offsets[SOURCE].is_committed(0)
    offsets[SOURCE].done(0)
    assert offsets.due() == {SOURCE: Position((), 1)}
    offsets.committed(offsets.due())
    assert offsets.due() == {}
    assert offsets[SOURCE].is_committed(0)


@given(log=st.sets(st.integers(0, 60), min_size=1).map(sorted), seed=st.integers(0, 2**32))
def test_over_any_restarts_every_record_is_done_and_a_committed_one_never_again(
    log: list[int], seed: int
) -> None:
    random = Random(seed)
    finished: list[int] = []
    committed: Position | None = None

    def finish(partition: PartitionOffsets, hand: list[int]) -> None:
        ready = hand.pop(random.randrange(len(hand)))
        finished.append(ready)
        partition.done(ready)

    while set(finished) != set(log):
        partition = PartitionOffsets(committed)
        known = {offset for offset in log if committed is not None and committed.covers(offset)}
        hand: list[int] = []
        for offset in (each for each in log if committed is None or each >= committed.offset):
            if partition.take(offset):
                assert offset not in known
                hand.append(offset)
            for _ in range(random.randrange(len(hand) + 1)):
                finish(partition, hand)
            if random.random() < 0.5:
                position = partition.position()
                assert position is not None
                committed = Position.parse(position.offset, position.metadata)
                assert all(each in finished for each in log if committed.covers(each))
            if random.random() < 0.1:
                break
