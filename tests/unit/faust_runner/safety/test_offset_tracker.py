"""The tracker: what may be committed."""

from hypothesis import given
from hypothesis import strategies as some

from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source

ONE, OTHER = Source("t", 0), Source("t", 1)


def test_nothing_is_committable_before_something_is_finished() -> None:
    tracker = OffsetTracker()
    tracker.begin(ONE, 40)
    assert dict(tracker.committable()) == {}
    assert tracker.next_offset(ONE) == 40


def test_the_offset_after_the_last_finished_one_is_committable() -> None:
    tracker = OffsetTracker()
    tracker.begin(ONE, 40)
    tracker.begin(OTHER, 7)
    assert tracker.finish(ONE, 40, tracker.assignment)
    assert tracker.finish(ONE, 41, tracker.assignment)
    assert dict(tracker.committable()) == {ONE: 42}


def test_what_was_begun_in_an_earlier_assignment_does_not_count() -> None:
    tracker = OffsetTracker()
    tracker.begin(ONE, 0)
    before = tracker.assignment
    tracker.forget()
    tracker.begin(ONE, 0)
    assert not tracker.finish(ONE, 5, before)
    assert dict(tracker.committable()) == {}


def test_after_a_given_up_event_nothing_of_its_source_counts_until_the_assignment_changes() -> None:
    tracker = OffsetTracker()
    tracker.begin(ONE, 0)
    tracker.begin(OTHER, 0)
    tracker.finish(ONE, 0, tracker.assignment)
    tracker.hold(ONE, tracker.assignment)
    assert not tracker.finish(ONE, 1, tracker.assignment)
    assert tracker.finish(OTHER, 0, tracker.assignment)
    assert dict(tracker.committable()) == {ONE: 1, OTHER: 1}
    before = tracker.assignment
    tracker.forget()
    assert not tracker.is_held(ONE)
    tracker.hold(ONE, before)
    assert not tracker.is_held(ONE), "it was given up in an earlier assignment"


@given(some.lists(some.integers(0, 50), max_size=40))
def test_the_next_offset_never_goes_back(offsets: list[int]) -> None:
    tracker = OffsetTracker()
    tracker.begin(ONE, 10)
    reached = 10
    for offset in offsets:
        tracker.finish(ONE, offset, tracker.assignment)
        reached = max(reached, offset + 1)
        assert tracker.next_offset(ONE) == reached
