"""The watchdog ends what hangs, and leaves alone what waits."""

from typing import Any

import pytest

from streams.faust_runner.safety.offset_probe import ProbeAway
from streams.faust_runner.safety.offset_tracker import Source
from streams.faust_runner.safety.watchdog import Watchdog, WorkerProgress
from streams.runtime.exit_codes import ExitCode

HERE = Source("t", 0)


class Broker:
    """A log with records up to `end`, of which the group has committed some."""

    def __init__(self) -> None:
        self.group: int | None = 0
        self.end = 10
        self.markers = False
        self.away = False

    def committed(self, source: Source) -> int | None:
        return self.group

    def bounds(self, source: Source) -> tuple[int, int]:
        if self.away:
            raise ProbeAway("no answer")
        return 0, self.end

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        return None if self.markers else start


class Scene:
    """A watchdog with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.broker = Broker()
        self.progress = WorkerProgress()
        self.progress.assigned(frozenset({HERE}))
        self.restored = 0
        self.ended: list[ExitCode] = []
        self.watchdog = Watchdog(
            self.progress,
            self.broker,
            frozenset({HERE}),
            60.0,
            clock=lambda: self.now,
            end=self._end,
            restored=lambda: self.restored,
        )

    def _end(self, code: ExitCode, event: str, /, **_: Any) -> None:
        self.ended.append(code)

    def pass_time(self, seconds: int, each: Any = None) -> None:
        for _ in range(0, seconds, 5):
            self.now += 5
            if each is not None:
                each()
            self.watchdog.watch()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_no_commit_while_records_wait_ends_the_worker(scene: Scene) -> None:
    scene.pass_time(60)
    assert scene.ended == []
    scene.pass_time(10)
    assert scene.ended[0] is ExitCode.WATCHDOG


def test_one_partition_that_stands_still_has_longer_while_others_get_on(scene: Scene) -> None:
    other = Source("t", 1)
    scene.progress.assigned(frozenset({HERE, other}))
    progress = iter(range(1000))

    class Two(Broker):
        def committed(self, source: Source) -> int | None:
            return next(progress) if source == other else 0

        def bounds(self, source: Source) -> tuple[int, int]:
            return 0, 10**6

    scene.watchdog.probe = Two()
    scene.pass_time(300)
    assert scene.ended == []
    scene.pass_time(10)
    assert scene.ended[0] is ExitCode.WATCHDOG


def test_commits_keep_it_quiet(scene: Scene) -> None:
    def commit() -> None:
        scene.broker.group = (scene.broker.group or 0) + 1
        scene.broker.end += 1

    scene.pass_time(300, commit)
    assert scene.ended == []


def test_nothing_to_read_keeps_it_quiet(scene: Scene) -> None:
    scene.broker.group = 10
    scene.pass_time(300)
    assert scene.ended == []


def test_a_log_that_ends_in_transaction_markers_keeps_it_quiet(scene: Scene) -> None:
    scene.broker.group, scene.broker.markers = 8, True
    scene.pass_time(300)
    assert scene.ended == []


def test_a_table_that_is_being_restored_keeps_it_quiet(scene: Scene) -> None:
    def restore() -> None:
        scene.restored += 1

    scene.pass_time(300, restore)
    assert scene.ended == []
    scene.pass_time(70)
    assert scene.ended[0] is ExitCode.WATCHDOG


def test_waiting_on_purpose_keeps_it_quiet(scene: Scene) -> None:
    scene.progress.waiting = "the registry is away"
    scene.pass_time(300)
    scene.progress.waiting = ""
    scene.pass_time(55)
    assert scene.ended == []


@pytest.mark.parametrize(("spare", "seconds"), [(False, 120), (True, 240)])
def test_a_worker_without_partitions_is_ended_where_nobody_reads(
    scene: Scene, spare: bool, seconds: int
) -> None:
    scene.progress.revoked()
    if spare:
        scene.progress.assigned(frozenset())
    scene.pass_time(seconds)
    assert scene.ended == []
    scene.pass_time(40)
    assert scene.ended[0] is ExitCode.WATCHDOG


def test_each_assignment_of_nothing_begins_the_wait_anew(scene: Scene) -> None:
    scene.progress.assigned(frozenset())
    for _ in range(5):
        scene.pass_time(200)
        scene.progress.assigned(frozenset())
    assert scene.ended == []


def test_a_worker_without_partitions_lives_while_others_read(scene: Scene) -> None:
    def commit() -> None:
        scene.broker.group = (scene.broker.group or 0) + 1
        scene.broker.end += 1

    scene.progress.assigned(frozenset())
    scene.pass_time(600, commit)
    assert scene.ended == []


def test_an_assignment_begins_the_wait_anew(scene: Scene) -> None:
    scene.progress.assigned(frozenset())
    scene.pass_time(100)
    scene.progress.assigned(frozenset({HERE}))
    scene.pass_time(60)
    assert scene.ended == []


def test_while_the_broker_is_away_nobody_hangs(scene: Scene) -> None:
    scene.pass_time(50)
    scene.broker.away = True
    scene.pass_time(100)
    scene.broker.away = False
    scene.pass_time(60)
    assert scene.ended == []


def test_a_step_that_does_not_end_counts_against_its_record(scene: Scene) -> None:
    scene.progress.step_since = 0.0
    scene.pass_time(65)
    assert scene.ended == [ExitCode.OWN_FAULT]
