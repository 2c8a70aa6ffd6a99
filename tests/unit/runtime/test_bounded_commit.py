"""A commit that gets no answer holds nobody up, and a client that hangs ends the process."""

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.runtime.bounded_commit import HANG_SECONDS, BoundedCommit
from streams.runtime.exit_codes import ExitCode

OFFSETS = [TopicPartition("t", 0, 5)]


class Client:
    """A consumer whose commits wait until they are let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[list[TopicPartition]] = []
        self.broker_answers = True
        self.refusal: KafkaException | None = None

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        self.asked.append(offsets)
        self.let_go.wait(10)
        if self.refusal is not None:
            raise self.refusal
        return offsets

    def list_topics(self, topic: str, timeout: float) -> None:
        if not self.broker_answers:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


class Scene:
    """Commits with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.client = Client()
        self.ended: list[ExitCode] = []
        self.commits = BoundedCommit(
            cast(Consumer, self.client), clock=lambda: self.now, wait=0.1, end=self._end
        )

    def _end(self, code: ExitCode, _: str) -> None:
        self.ended.append(code)

    def commit(self) -> Any:
        return self.commits.commit(OFFSETS)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.client.let_go.set()


def test_an_answer_is_given_back(scene: Scene) -> None:
    scene.client.let_go.set()
    assert scene.commit() == OFFSETS
    assert not scene.commits.under_way


def test_a_refusal_is_raised_and_the_next_commit_is_a_new_one(scene: Scene) -> None:
    scene.client.let_go.set()
    scene.client.refusal = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    with pytest.raises(KafkaException):
        scene.commit()
    scene.client.refusal = None
    assert scene.commit() == OFFSETS
    assert len(scene.client.asked) == 2


def test_a_late_answer_is_that_of_the_first_request(scene: Scene) -> None:
    assert scene.commit() is None
    assert scene.commits.under_way
    assert scene.commits.commit([TopicPartition("t", 1, 9)]) is None
    scene.client.let_go.set()
    assert scene.commits.commit([TopicPartition("t", 1, 9)]) == OFFSETS
    assert scene.client.asked == [OFFSETS]


def test_no_answer_from_a_broker_that_is_there_ends_the_process(scene: Scene) -> None:
    assert scene.commit() is None
    scene.now += HANG_SECONDS - 1
    assert scene.commit() is None
    assert scene.ended == []
    scene.now += 2
    assert scene.commit() is None
    assert scene.ended == [ExitCode.WATCHDOG]


def test_a_broker_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.client.broker_answers = False
    assert scene.commit() is None
    scene.now += 10 * HANG_SECONDS
    assert scene.commit() is None
    scene.client.broker_answers = True
    scene.now += HANG_SECONDS / 2
    assert scene.commit() is None
    assert scene.ended == []


def test_in_a_callback_of_the_client_the_same_thread_commits(scene: Scene) -> None:
    scene.client.let_go.set()
    threads: list[threading.Thread] = []
    commit = scene.client.commit

    def noted(offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        threads.append(threading.current_thread())
        return commit(offsets, asynchronous)

    scene.client.commit = noted  # type: ignore[method-assign]
    with scene.commits.in_callback():
        assert scene.commit() == OFFSETS
    assert scene.commit() == OFFSETS
    assert [one is threading.current_thread() for one in threads] == [True, False]


def test_in_a_callback_a_commit_that_is_under_way_is_not_waited_for(scene: Scene) -> None:
    assert scene.commit() is None
    with scene.commits.in_callback():
        assert scene.commit() is None
    assert len(scene.client.asked) == 1
