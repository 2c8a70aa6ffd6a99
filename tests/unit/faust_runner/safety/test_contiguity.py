"""The guard: a jump is a hole of the log, or the process ends."""

import asyncio
from collections.abc import Iterable

import pytest

from streams.faust_runner.safety import contiguity
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.offset_probe import ProbeAway
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.runtime.exit_codes import ExitCode

SOURCE = Source("t", 3)


class Stopped(Exception):
    """Stands for the end of the process."""


class Log:
    """A log with the given offsets, as the broker knows it."""

    def __init__(self, offsets: Iterable[int], committed: int | None = None, first: int = 0) -> None:
        self.offsets = sorted(offsets)
        self.group = committed
        self.first = first
        self.end = max(self.offsets, default=first - 1) + 1
        self.asked = 0

    def committed(self, source: Source) -> int | None:
        self.asked += 1
        return self.group

    def bounds(self, source: Source) -> tuple[int, int]:
        return self.first, self.end

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        return next((offset for offset in self.offsets if start <= offset < end), None)


@pytest.fixture(autouse=True)
def stop(monkeypatch: pytest.MonkeyPatch) -> list[ExitCode]:
    codes: list[ExitCode] = []

    def fail_stop(code: ExitCode, event: str, /, **details: object) -> None:
        codes.append(code)
        raise Stopped(event)

    monkeypatch.setattr(contiguity, "fail_stop", fail_stop)
    return codes


def run(log: Log, offsets: Iterable[int], *, watching: bool = True) -> tuple[list[int], OffsetTracker]:
    """Feeds `offsets` to a guard over `log`; returns what was processed."""
    tracker = OffsetTracker()
    guard = ContiguityGuard(tracker, log, watching=watching)
    processed = []

    async def feed() -> None:
        for offset in offsets:
            if await guard.admit(SOURCE, offset):
                processed.append(offset)
                tracker.finish(SOURCE, offset, tracker.assignment)

    asyncio.run(feed())
    return processed, tracker


def test_events_in_a_row_pass_and_ask_the_broker_once() -> None:
    log = Log(range(20), committed=5)
    processed, _ = run(log, range(5, 20))
    assert processed == list(range(5, 20))
    assert log.asked == 1


def test_a_skipped_record_ends_the_process_before_it_is_acknowledged(stop: list[ExitCode]) -> None:
    with pytest.raises(Stopped, match="a record between 7 and it was not processed"):
        run(Log(range(20), committed=5), [5, 6, 9])
    assert stop == [ExitCode.CONTIGUITY]


def test_without_the_guard_the_same_jump_is_committed_past() -> None:
    processed, tracker = run(Log(range(20), committed=5), [5, 6, 9], watching=False)
    assert processed == [5, 6, 9]
    assert dict(tracker.committable()) == {SOURCE: 10}


def test_a_first_event_past_the_committed_offset_ends_the_process(stop: list[ExitCode]) -> None:
    with pytest.raises(Stopped):
        run(Log(range(20), committed=5), [6])
    assert stop == [ExitCode.CONTIGUITY]


def test_holes_of_the_log_are_passed() -> None:
    """Transaction markers and compacted records leave offsets without a record."""
    kept = [0, 1, 4, 5, 9]
    assert run(Log(kept), kept)[0] == kept


def test_without_a_committed_offset_the_start_of_the_log_is_expected() -> None:
    assert run(Log(range(30, 40), first=30), range(30, 40))[0] == list(range(30, 40))


def test_what_was_finished_before_is_not_done_again() -> None:
    assert run(Log(range(20), committed=5), [3, 4, 5, 6, 5, 6, 7])[0] == [5, 6, 7]


def test_records_that_retention_deleted_are_counted_and_passed() -> None:
    from streams.runtime import metrics

    before = metrics.RETENTION_LOSSES._value.get()
    log = Log(range(30, 40), committed=10, first=30)
    assert run(log, range(30, 40))[0] == list(range(30, 40))
    assert metrics.RETENTION_LOSSES._value.get() - before == 20


def test_deleted_ticks_are_passed_without_a_word() -> None:
    from streams.runtime import metrics

    before = metrics.RETENTION_LOSSES._value.get()
    log = Log(range(30, 40), committed=10, first=30)
    guard = ContiguityGuard(OffsetTracker(), log, fleeting=frozenset({SOURCE.topic}))
    assert asyncio.run(guard.admit(SOURCE, 30))
    assert metrics.RETENTION_LOSSES._value.get() == before


def test_a_topic_that_was_made_anew_is_read_from_its_start() -> None:
    """Its old committed offset lies past its end; taking it would skip everything."""
    assert run(Log(range(10), committed=5000), range(10))[0] == list(range(10))


def test_an_assignment_that_changes_during_the_question_begins_nothing() -> None:
    tracker = OffsetTracker()

    class Slow(Log):
        def committed(self, source: Source) -> int | None:
            tracker.forget()
            return 3

    asyncio.run(ContiguityGuard(tracker, Slow(range(9))).admit(SOURCE, 3))
    assert tracker.next_offset(SOURCE) is None


def test_a_broker_that_is_away_is_said_to_be_away() -> None:
    class Away(Log):
        def bounds(self, source: Source) -> tuple[int, int]:
            raise ProbeAway("no broker")

    with pytest.raises(ProbeAway):
        run(Away(range(9)), [0])
