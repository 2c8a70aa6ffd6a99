"""Only what the tracker vouches for is committed."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.transport.consumer import Consumer
from faust.types import TP
from intervaltree import IntervalTree

from streams.faust_runner.safety import commits
from streams.faust_runner.safety.commits import filter_committable_offsets, track_offsets
from streams.faust_runner.safety.offset_tracker import Source

HERE = TP("t", 0)
ORIGINAL = commits.PATCHES[0].original


class App:
    """Something that a tracker can be kept for."""


class Tracking:
    """The part of Faust's consumer that the commit reads."""

    _should_commit = Consumer._should_commit
    _new_offset = Consumer._new_offset

    def __init__(self) -> None:
        self.app = App()
        self._acked: dict[TP, list[int]] = defaultdict(list)
        self._acked_index: dict[TP, set[int]] = defaultdict(set)
        self._gap: dict[TP, IntervalTree] = defaultdict(IntervalTree)
        self._committed_offset: dict[TP, int | None] = defaultdict(lambda: None)

    def acknowledge(self, *offsets: int) -> None:
        self._acked[HERE] += offsets
        self._acked_index[HERE] |= set(offsets)


def finished(consumer: Tracking, start: int, *offsets: int) -> None:
    tracker = track_offsets(cast(Any, consumer.app))
    tracker.begin(Source(*HERE), start)
    for offset in offsets:
        tracker.finish(Source(*HERE), offset, tracker.assignment)


def committable(consumer: Tracking) -> dict[TP, int]:
    return filter_committable_offsets(cast(Any, consumer), list(consumer._acked))


def test_what_the_ledger_has_is_committed_and_faust_own_account_is_emptied() -> None:
    consumer = Tracking()
    consumer.acknowledge(0, 1, 2)
    finished(consumer, 0, 0, 1, 2)
    assert committable(consumer) == {HERE: 3}
    assert consumer._acked[HERE] == []
    assert consumer._acked_index[HERE] == set()


@pytest.mark.parametrize(
    "setting",
    [
        # an event at the head of the log is in work, others behind it were dropped and acknowledged
        SimpleNamespace(acked=(1, 2, 3), gap=(), committed=None, done=(), ships=4),
        # a jump is taken for a hole: records 1..7 that nobody saw
        SimpleNamespace(acked=(0, 8, 9), gap=((1, 8),), committed=0, done=(0,), ships=10),
    ],
    ids=["in_work", "jump"],
)
def test_faust_as_shipped_commits_past_records_that_nobody_processed(setting: Any) -> None:
    def consumer() -> Tracking:
        made = Tracking()
        made.acknowledge(*setting.acked)
        for begin, end in setting.gap:
            made._gap[HERE].addi(begin, end)
        made._committed_offset[HERE] = setting.committed
        finished(made, 0, *setting.done)
        return made

    shipped = consumer()
    assert ORIGINAL(shipped, list(shipped._acked)) == {HERE: setting.ships}
    assert committable(consumer()) == ({HERE: setting.done[-1] + 1} if setting.done else {})


def test_nothing_is_committed_twice() -> None:
    consumer = Tracking()
    finished(consumer, 0, 0, 1)
    consumer._committed_offset[HERE] = 2
    assert committable(consumer) == {}


def test_two_applications_do_not_share_a_ledger() -> None:
    one, other = Tracking(), Tracking()
    finished(one, 0, 0)
    assert committable(other) == {}
