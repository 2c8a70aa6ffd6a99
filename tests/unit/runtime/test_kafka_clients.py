"""What clients do, and say, while no broker answers."""

import time

import pytest

from local_stack.ports import free_port
from schemas.settings import KafkaSettings
from streams.runtime.kafka_clients import make_consumer


def test_while_no_broker_answers_a_consumer_tries_and_says_so_about_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer = make_consumer(KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}"), "nobody")
    consumer.subscribe(["nothing"])
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert not consumer.consume(10, 0.2)
    consumer.close()
    said = [one for one in caplog.records if "Connection refused" in one.getMessage()]
    assert {one.name for one in said} == {"librdkafka"}
    # by default it would be sixty
    assert 1 <= len(said) <= 8
