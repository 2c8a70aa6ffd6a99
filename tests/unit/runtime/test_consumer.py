"""The consumer under sink and replay: commits that fail, pauses, errors, partitions that go."""

from collections import deque
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.settings import KafkaSettings
from streams.core.contract import Coordinates
from streams.core.unread import HEAD_BYTES, LARGEST_BYTES, Unread
from streams.runtime import consumer as module
from streams.runtime.consumer import ConsumerFailed, WorkerConsumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.crash_marker import read_marker
from streams.runtime.delivery import Delivery
from streams.runtime.offsets import Source
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings

FIRST, SECOND = Source("physical.verdicts", 0), Source("physical.verdicts", 1)
KAFKA = KafkaSettings(topic_names={"expert.verdicts": "physical.verdicts"})


class FakeMessage:
    """A message of confluent-kafka."""

    def __init__(self, error: KafkaError | None = None, partition: int = 1, offset: int = 41) -> None:
        self._error, self._partition, self._offset = error, partition, offset

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return "physical.verdicts"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1772366400123

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("a", b"1"), ("b", None), ("a", b"2")]


class FakeConsumer:
    """What the consumer needs of confluent-kafka's."""

    def __init__(self) -> None:
        self.polls: deque[list[Any]] = deque()
        self.during: Callable[[], None] = lambda: None
        """What happens in the middle of the next poll."""
        self.paused: list[list[TopicPartition]] = []
        self.resumed = 0
        self.commits: list[dict[tuple[str, int], int]] = []
        self.commit_fails: deque[KafkaException] = deque()
        self.refused: set[int] = set()
        self.held = [TopicPartition(*FIRST), TopicPartition(*SECOND)]

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.topics, self.on_assign, self.on_revoke, self.on_lost = topics, on_assign, on_revoke, on_lost

    def consume(self, number: int, seconds: float) -> list[Any]:
        during, self.during = self.during, lambda: None
        during()
        return self.polls.popleft() if self.polls else []

    def assignment(self) -> list[TopicPartition]:
        return self.held

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused.append(partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.resumed += 1

    def get_watermark_offsets(self, partition: TopicPartition, cached: bool) -> tuple[int, int]:
        return -1001, -1001

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, -1001) for each in partitions]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        if self.commit_fails:
            raise self.commit_fails.popleft()
        self.commits.append({(each.topic, each.partition): each.offset for each in offsets})
        return [_Answer(each, each.partition in self.refused) for each in offsets]

    def close(self) -> None:
        self.on_revoke(self, self.held)


class _Answer:
    def __init__(self, at: TopicPartition, refused: bool) -> None:
        self.topic, self.partition, self.offset = at.topic, at.partition, at.offset
        self.error = "stale" if refused else None


class Scene:
    """A consumer, and what was said to whoever uses it."""

    def __init__(self, folder: Path) -> None:
        self.folders = WorkerFolders(folder, "sink", "1")
        self.guards = CrashGuard.in_folders(self.folders, WorkerSettings())
        self.client = FakeConsumer()
        self.told: list[Any] = []
        self.release: Callable[[frozenset[Source]], None] = lambda going: None
        self.consumer = WorkerConsumer(
            KAFKA,
            "sink",
            ["expert.verdicts"],
            self.guards,
            on_revoked=lambda going: self.release(going),
            on_assigned=lambda _, partitions: self.told.extend(partitions),
        )
        self.consumer.start()

    def assign(self, *sources: Source) -> None:
        self.client.on_assign(self.client, [TopicPartition(*each) for each in sources])

    def give(self, *messages: FakeMessage) -> list[Delivery]:
        """What comes of a poll with these."""
        self.client.polls.append(list(messages))
        return self.consumer.receive(500, 0)


class Watchdog:
    """Looks at nothing."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.start = self.polled = lambda *_, **__: None
        self.stop = lambda: None


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A member of the group with both partitions."""
    made: list[Scene] = []
    monkeypatch.setattr(module, "FetchWatchdog", Watchdog)
    monkeypatch.setattr(module, "make_consumer", lambda *_, **__: FakeConsumer())
    found = Scene(tmp_path)
    made.append(found)
    found.client = found.consumer._consumer  # type: ignore[assignment]
    found.assign(FIRST, SECOND)
    return found


def done(deliveries: list[Delivery]) -> None:
    for each in deliveries:
        each.done()


def test_records_have_their_logical_topic(scene: Scene) -> None:
    [found] = scene.give(FakeMessage())
    assert scene.client.topics == ["physical.verdicts"]
    assert (found.arrived.coordinates, found.source) == (Coordinates("expert.verdicts", 1, 41), SECOND)
    assert (found.arrived.key, found.arrived.value) == (b"k", b"v")
    assert found.arrived.headers == (("a", b"1"), ("b", None), ("a", b"2"))


def test_nothing_is_committed_past_a_record_that_is_not_done(scene: Scene) -> None:
    first, second = scene.give(FakeMessage(offset=4), FakeMessage(offset=5))
    second.done()
    assert scene.consumer.commit()
    assert scene.client.commits == [{SECOND: 4}]
    first.done()
    scene.consumer.commit()
    assert scene.client.commits[1:] == [{SECOND: 6}]
    assert first.is_committed


def test_what_could_not_be_committed_is_committed_later(scene: Scene) -> None:
    scene.client.commit_fails.append(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    done(scene.give(FakeMessage(offset=4, partition=0)))
    assert not scene.consumer.commit()
    done(scene.give(FakeMessage(offset=8)))
    assert scene.consumer.commit()
    assert scene.client.commits == [{FIRST: 5, SECOND: 9}]
    scene.consumer.commit()
    assert len(scene.client.commits) == 1


def test_a_partition_that_was_refused_is_committed_again(scene: Scene) -> None:
    scene.client.refused = {1}
    done(scene.give(FakeMessage(offset=4, partition=0), FakeMessage(offset=8)))
    assert not scene.consumer.commit()
    scene.client.refused = set()
    scene.consumer.commit()
    assert scene.client.commits[1] == {SECOND: 9}


def test_offsets_of_partitions_that_went_are_never_committed(scene: Scene) -> None:
    done(scene.give(FakeMessage(offset=4, partition=0), FakeMessage(offset=8)))
    scene.client.on_lost(scene.client, [TopicPartition(*SECOND)])
    scene.consumer.commit()
    assert scene.client.commits == [{FIRST: 5}]


def test_what_is_done_when_partitions_are_given_back_is_committed(scene: Scene) -> None:
    [found] = scene.give(FakeMessage(offset=8))
    scene.release = lambda going: found.done() if SECOND in going else None
    scene.client.on_revoke(scene.client, [TopicPartition(*SECOND)])
    assert scene.client.commits == [{SECOND: 9}]
    assert not found.live


def test_while_held_every_poll_pauses_what_is_new(scene: Scene) -> None:
    scene.consumer.receive(1, 0)
    before = scene.client.resumed
    scene.consumer.hold(True)
    scene.consumer.receive(1, 0)
    third = Source("physical.verdicts", 2)
    scene.client.held = [*scene.client.held, TopicPartition(*third)]
    scene.assign(third)
    scene.consumer.receive(1, 0)
    assert [len(partitions) for partitions in scene.client.paused] == [2, 3]
    scene.consumer.hold(False)
    scene.consumer.receive(1, 0)
    assert scene.client.resumed == before + 1
    scene.consumer.receive(1, 0)
    assert scene.client.resumed == before + 1


def test_new_partitions_are_told_after_the_poll(scene: Scene) -> None:
    scene.give()
    scene.told.clear()
    scene.assign(FIRST, SECOND)
    scene.client.on_revoke(scene.client, [TopicPartition(*SECOND)])
    assert scene.told == []
    scene.give()
    assert [(each.topic, each.partition) for each in scene.told] == [FIRST]


@pytest.mark.parametrize("how", ["on_revoke", "on_lost"])
def test_what_was_collected_before_its_partition_went_is_left_to_the_next_owner(
    scene: Scene, how: str
) -> None:
    scene.client.during = partial(getattr(scene.client, how), scene.client, [TopicPartition(*SECOND)])
    assert scene.give(FakeMessage()) == []
    scene.client.during = partial(scene.assign, SECOND)
    assert scene.give(FakeMessage())


def test_a_record_that_was_done_comes_once(scene: Scene) -> None:
    done(scene.give(FakeMessage()))
    assert scene.give(FakeMessage()) == []


def test_an_error_that_passes_is_no_end(scene: Scene) -> None:
    assert len(scene.give(FakeMessage(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), FakeMessage())) == 1


def test_a_fatal_error_says_what_to_do(scene: Scene) -> None:
    with pytest.raises(ConsumerFailed, match="OPOI_KAFKA__GROUP_PROTOCOL=classic"):
        scene.give(FakeMessage(KafkaError(KafkaError.UNSUPPORTED_VERSION, fatal=True)))


class Deadly(FakeMessage):
    """Its headers end the process."""

    mark: Any = None

    def headers(self) -> list[tuple[str, bytes | None]]:
        self.mark()
        raise AssertionError("its headers were read")


def test_a_record_whose_headers_kill_is_marked_before_they_are_read(scene: Scene) -> None:
    found = []
    deadly = Deadly()
    deadly.mark = lambda: found.append(read_marker(scene.folders.mark))
    with pytest.raises(AssertionError):
        scene.give(deadly)
    assert found == [Coordinates("expert.verdicts", 1, 41)]


class Huge(FakeMessage):
    """It was small as it was sent."""

    def __init__(self, key: bytes, value: bytes | None) -> None:
        super().__init__()
        self.parts = key, value

    def key(self) -> bytes:
        return self.parts[0]

    def value(self) -> bytes | None:  # type: ignore[override]
        return self.parts[1]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        (b"k", b"a" * LARGEST_BYTES, b"k"),
        (b"k" * LARGEST_BYTES, b"ab", None),
        (b"k" * (LARGEST_BYTES + 1), None, None),
    ],
    ids=["value", "key", "no value"],
)
def test_of_a_record_that_is_too_large_the_head_is_kept(
    scene: Scene, key: bytes, value: bytes | None, kept: bytes | None
) -> None:
    [found] = scene.give(Huge(key, value))
    cut = found.arrived.value
    assert isinstance(cut, Unread)
    assert (found.arrived.key, bytes(cut), cut.kind) == (kept, (value or b"")[:HEAD_BYTES], "too_large")
    assert cut.reason == "the record was not read whole: it has more than 16777216 bytes"
    assert (cut.whole_bytes, cut.whole_sha256) == (len(value or b""), sha256(value or b"").hexdigest())
    assert cut.last_offset == 41


def test_one_as_large_as_a_record_may_be_is_read_whole(scene: Scene) -> None:
    [found] = scene.give(Huge(b"k", b"a" * (LARGEST_BYTES - 1)))
    assert not isinstance(found.arrived.value, Unread)


class NoUtf8(FakeMessage):
    """A name in its headers is no UTF-8."""

    def headers(self) -> list[tuple[str, bytes | None]]:
        raise SystemError("returned a result with an exception set")


def test_a_record_with_unreadable_headers_is_handed_out_without(scene: Scene) -> None:
    [found] = scene.give(NoUtf8())
    assert (found.arrived.headers, found.arrived.has_headers, found.arrived.value) == ((), False, b"v")
    assert found.arrived.readable_headers is None
    assert read_marker(scene.folders.mark) is None


def test_after_the_allowed_deaths_its_headers_are_not_read(scene: Scene) -> None:
    for _ in range(3):
        scene.guards.deaths.add(Coordinates("expert.verdicts", 1, 41), "sigsegv")
    scene.assign(SECOND)
    [found] = scene.give(Deadly())
    assert (found.arrived.headers, found.arrived.has_headers) == ((), False)
    assert found.arrived.value == b"v"


def test_a_mark_of_what_is_worked_on_alone_survives_the_next_records(scene: Scene) -> None:
    alone = Coordinates("expert.verdicts", 0, 7)
    scene.guards.mark.set(alone)
    scene.give(FakeMessage())
    assert read_marker(scene.folders.mark) == alone
