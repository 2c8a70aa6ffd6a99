"""What clients do, and say, while no broker answers."""

import time

import pytest
from confluent_kafka import TopicPartition
from pydantic import SecretStr

from local_stack.ports import free_port
from schemas.settings import KafkaSettings
from streams.runtime.kafka_clients import aiokafka_config, headers_of, make_consumer
from testkit.mock_cluster import MockCluster
from testkit.raw_batches import RawRecord, batch, produce


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


def test_header_names_that_are_no_utf8_end_nothing() -> None:
    cluster = MockCluster()
    cluster.make("t")
    names: list[tuple[bytes, ...]] = [(b"\xff\xfe",), (b"fine", b"caf\xe9"), (b"fine",), ()]
    content = batch([RawRecord(b"k", b"v", tuple((name, None) for name in each)) for each in names])
    assert produce(cluster.bootstrap, "t", 0, content) == (0, 0)
    consumer = make_consumer(KafkaSettings(bootstrap_servers=cluster.bootstrap), "nobody")
    consumer.assign([TopicPartition("t", 0, 0)])
    found = []
    end = time.monotonic() + 30
    while len(found) < len(names):
        assert time.monotonic() < end
        found += [headers_of(message) for message in consumer.consume(10, 0.2) if message.error() is None]
    consumer.close()
    assert found == [None, None, (("fine", None),), ()]


def test_clients_of_aiokafka_are_told_what_those_of_librdkafka_are() -> None:
    assert aiokafka_config(KafkaSettings(bootstrap_servers="a:1, b:2")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password=SecretStr("secret"),
    )
    found = aiokafka_config(settings)
    assert found.pop("ssl_context").check_hostname
    assert found == {
        "bootstrap_servers": ["127.0.0.1:19092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }
