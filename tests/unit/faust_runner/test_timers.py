"""Deadlines by key, earliest first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from streams.faust_runner.timers import Deadlines

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def test_due_ones_come_in_order_and_once() -> None:
    deadlines = Deadlines()
    for key, minutes in (("late", 9), ("first", 1), ("second", 2)):
        deadlines.set(key, at(minutes))
    assert deadlines.pop_due(at(5), 10) == ["first", "second"]
    assert deadlines.pop_due(at(5), 10) == []
    assert len(deadlines) == 1


def test_a_limit_leaves_the_rest_for_later() -> None:
    deadlines = Deadlines()
    for number in range(5):
        deadlines.set(str(number), at(number))
    assert deadlines.pop_due(at(9), 3) == ["0", "1", "2"]
    assert deadlines.pop_due(at(9), 3) == ["3", "4"]


def test_setting_again_replaces() -> None:
    deadlines = Deadlines()
    deadlines.set("key", at(1))
    deadlines.set("key", at(8))
    assert deadlines.pop_due(at(5), 10) == []
    deadlines.set("key", at(2))
    assert deadlines.pop_due(at(5), 10) == ["key"]
    assert deadlines.pop_due(at(9), 10) == []


def test_none_takes_it_away() -> None:
    deadlines = Deadlines()
    deadlines.set("key", at(1))
    deadlines.set("key", None)
    assert deadlines.pop_due(at(5), 10) == []


@given(some.lists(some.tuples(some.sampled_from("abcd"), some.one_of(some.none(), some.integers(0, 9)))))
def test_what_is_due_is_what_a_plain_table_says(changes: list[tuple[str, int | None]]) -> None:
    deadlines, table = Deadlines(), {}
    for key, minutes in changes:
        deadlines.set(key, None if minutes is None else at(minutes))
        table[key] = minutes
    due = {key: minutes for key, minutes in table.items() if minutes is not None and minutes <= 5}
    found = deadlines.pop_due(at(5), 100)
    assert sorted(found) == sorted(due)
    assert [due[key] for key in found] == sorted(due.values())
