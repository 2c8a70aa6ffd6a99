"""What the sink asks the broker about topics."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition, Uuid
from structlog.testing import capture_logs

from schemas.errors import BrokerAway
from schemas.settings import KafkaSettings
from streams.stages.sink.topic_ids import TopicIds, report_losses

WANTED = UUID("f1e2d3c4-b5a6-4788-8999-aabbccddeeff")


def signed(bits: int) -> int:
    """64 bits as Java and librdkafka give them."""
    return bits - 2**64 if bits >= 2**63 else bits


class Future:
    """An answer of the admin client."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def result(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class FakeAdmin:
    """One topic and the starts of its partitions."""

    def __init__(self, answer: Any = None, starts: dict[int, int] | None = None) -> None:
        self.asked: list[str] = []
        high, low = signed(WANTED.int >> 64), signed(WANTED.int & (2**64 - 1))
        self._answer = answer or SimpleNamespace(topic_id=Uuid(high, low))
        self._starts = starts or {}

    def describe_topics(self, wanted: Any, request_timeout: float) -> dict[str, Future]:
        self.asked += wanted.topic_names
        return {name: Future(self._answer) for name in wanted.topic_names}

    def starts(self, wanted: Any) -> dict[Any, int]:
        return {each: self._starts[each.partition] for each in wanted}


def test_an_id_is_asked_for_once_until_it_is_forgotten() -> None:
    admin = FakeAdmin()
    ids = TopicIds(KafkaSettings(topic_names={"a": "physical.a"}), admin)  # type: ignore[arg-type]
    assert [ids("a"), ids("a")] == [WANTED, WANTED]
    assert admin.asked == ["physical.a"]
    ids.forget()
    ids("a")
    assert len(admin.asked) == 2


def test_a_broker_that_does_not_answer_is_away() -> None:
    error = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    with pytest.raises(BrokerAway, match="topic a cannot be described"):
        TopicIds(KafkaSettings(), FakeAdmin(error))("a")  # type: ignore[arg-type]


def test_what_the_broker_deleted_unread_is_told() -> None:
    committed = [TopicPartition("a", 0, 10), TopicPartition("a", 1, 10), TopicPartition("a", 2, -1001)]
    consumer = SimpleNamespace(committed=lambda partitions, timeout: committed)
    with capture_logs() as logs:
        report_losses(consumer, FakeAdmin(starts={0: 10, 1: 14}), committed)  # type: ignore[arg-type]
    assert [(line["partition"], line["offsets"]) for line in logs] == [(1, 4)]


def test_without_an_answer_it_says_that_it_does_not_know() -> None:
    def committed(partitions: Any, timeout: float) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    with capture_logs() as logs:
        report_losses(SimpleNamespace(committed=committed), FakeAdmin(), [])  # type: ignore[arg-type]
    assert [line["log_level"] for line in logs] == ["warning"]
