"""The consumer's side of the sink: commits that fail, pauses, errors."""

from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.runtime.offsets import Source
from streams.stages.sink.consumer import Feed, FeedBroken
from tests.unit.stages.sink.sink_fakes import FakeConsumer

FIRST, SECOND = Source("expert.verdicts", 0), Source("expert.verdicts", 1)


class FakeMessage:
    """A message of confluent-kafka."""

    def __init__(self, error: KafkaError | None = None) -> None:
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return "physical.verdicts"

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 41

    def timestamp(self) -> tuple[int, int]:
        return 1, 1772366400123

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("a", b"1"), ("b", None), ("a", b"2")]


@pytest.fixture
def consumer() -> FakeConsumer:
    return FakeConsumer()


def make(consumer: FakeConsumer, **options: Any) -> Feed:
    feed = Feed(consumer, {"physical.verdicts": "expert.verdicts"}, **options)  # type: ignore[arg-type]
    feed.start(lambda going: None, lambda gone: None)
    return feed


def test_messages_have_their_logical_topic(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.polls.append([FakeMessage()])
    [found] = feed.receive(0)
    assert consumer.topics == ["physical.verdicts"]
    assert (found.topic, found.source, found.offset) == (
        "expert.verdicts",
        Source("physical.verdicts", 1),
        41,
    )
    assert (found.key, found.value, found.headers) == (b"k", b"v", (("a", b"1"), ("b", None), ("a", b"2")))


def test_what_could_not_be_committed_is_committed_with_the_next_batch(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.commit_fails.append(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    feed.commit({FIRST: 5})
    feed.commit({SECOND: 9})
    assert consumer.commits == [{FIRST: 5, SECOND: 9}]
    feed.commit({})
    assert len(consumer.commits) == 1


def test_a_partition_that_was_refused_is_committed_again(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.refused = {1}
    feed.commit({FIRST: 5, SECOND: 9})
    consumer.refused = set()
    feed.commit({})
    assert consumer.commits[1] == {SECOND: 9}


def test_offsets_of_partitions_that_went_are_never_committed(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.commit_fails.append(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    feed.commit({FIRST: 5, SECOND: 9})
    consumer.on_revoke(consumer, [TopicPartition(*FIRST)])
    consumer.on_lost(consumer, [TopicPartition(*SECOND)])
    feed.commit({})
    assert consumer.commits == []


def test_while_held_every_poll_pauses_anew(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    feed.hold(True)
    feed.receive(0)
    consumer.held = [*consumer.held, TopicPartition("expert.verdicts", 2)]
    feed.receive(0)
    assert [len(partitions) for partitions in consumer.paused] == [2, 3]
    feed.hold(False)
    assert consumer.resumed == 1


def test_new_partitions_are_told_after_the_poll(consumer: FakeConsumer) -> None:
    told: list[Any] = []
    feed = make(consumer, on_assigned=told.extend)
    consumer.on_assign(consumer, [TopicPartition(*FIRST), TopicPartition(*SECOND)])
    consumer.on_revoke(consumer, [TopicPartition(*SECOND)])
    assert told == []
    feed.receive(0)
    assert [(each.topic, each.partition) for each in told] == [FIRST]


def test_what_was_collected_before_its_partition_went_is_left_to_the_next_owner(
    consumer: FakeConsumer,
) -> None:
    feed = make(consumer)
    at = TopicPartition("physical.verdicts", 1)
    for went, callback in ((True, consumer.on_revoke), (True, consumer.on_lost), (False, consumer.on_assign)):
        consumer.during = partial(callback, consumer, [at])
        consumer.polls.append([FakeMessage()])
        assert len(feed.receive(0)) == (0 if went else 1)
    consumer.polls.append([FakeMessage()])
    assert feed.receive(0)


def test_an_error_that_passes_is_no_end(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.polls.append([FakeMessage(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), FakeMessage()])
    assert len(feed.receive(0)) == 1


def test_a_fatal_error_says_what_to_do(consumer: FakeConsumer) -> None:
    feed = make(consumer)
    consumer.polls.append([FakeMessage(KafkaError(KafkaError.UNSUPPORTED_VERSION, fatal=True))])
    with pytest.raises(FeedBroken, match="OPOI_KAFKA__GROUP_PROTOCOL=classic"):
        feed.receive(0)
