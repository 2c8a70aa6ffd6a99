"""The ledger: what may be committed."""

from hypothesis import given
from hypothesis import strategies as some

from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source

ONE, OTHER = Source("t", 0), Source("t", 1)


def test_nothing_is_committable_before_something_is_finished() -> None:
    ledger = OffsetTracker()
    ledger.begin(ONE, 40)
    assert dict(ledger.committable()) == {}
    assert ledger.next_offset(ONE) == 40


def test_the_offset_after_the_last_finished_one_is_committable() -> None:
    ledger = OffsetTracker()
    ledger.begin(ONE, 40)
    ledger.begin(OTHER, 7)
    assert ledger.finish(ONE, 40, ledger.assignment)
    assert ledger.finish(ONE, 41, ledger.assignment)
    assert dict(ledger.committable()) == {ONE: 42}


def test_what_was_begun_in_an_earlier_assignment_does_not_count() -> None:
    ledger = OffsetTracker()
    ledger.begin(ONE, 0)
    before = ledger.assignment
    ledger.forget()
    ledger.begin(ONE, 0)
    assert not ledger.finish(ONE, 5, before)
    assert dict(ledger.committable()) == {}


def test_after_a_given_up_event_nothing_of_its_source_counts_until_the_assignment_changes() -> None:
    ledger = OffsetTracker()
    ledger.begin(ONE, 0)
    ledger.begin(OTHER, 0)
    ledger.finish(ONE, 0, ledger.assignment)
    ledger.hold(ONE, ledger.assignment)
    assert not ledger.finish(ONE, 1, ledger.assignment)
    assert ledger.finish(OTHER, 0, ledger.assignment)
    assert dict(ledger.committable()) == {ONE: 1, OTHER: 1}
    before = ledger.assignment
    ledger.forget()
    assert not ledger.is_held(ONE)
    ledger.hold(ONE, before)
    assert not ledger.is_held(ONE), "it was given up in an earlier assignment"


@given(some.lists(some.integers(0, 50), max_size=40))
def test_the_next_offset_never_goes_back(offsets: list[int]) -> None:
    ledger = OffsetTracker()
    ledger.begin(ONE, 10)
    reached = 10
    for offset in offsets:
        ledger.finish(ONE, offset, ledger.assignment)
        reached = max(reached, offset + 1)
        assert ledger.next_offset(ONE) == reached
