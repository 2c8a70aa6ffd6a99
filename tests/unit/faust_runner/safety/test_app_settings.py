"""Settings of Faust that must not move, and the partitioner."""

from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from streams.faust_runner.safety import app_settings
from streams.faust_runner.safety.app_settings import app_options

# from Kafka's own tests: clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java
KAFKA_MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize("text", KAFKA_MURMUR2)
def test_faust_hashes_keys_as_kafka_does(text: str) -> None:
    assert murmur2(text.encode()) & 0xFFFFFFFF == KAFKA_MURMUR2[text] & 0xFFFFFFFF


def test_faust_partitions_keys_as_kafka_does() -> None:
    partitions = list(range(32))
    for text, hashed in KAFKA_MURMUR2.items():
        assert DefaultPartitioner()(text.encode(), partitions, partitions) == (hashed & 0x7FFFFFFF) % 32


def test_the_settings_that_prevent_losses() -> None:
    options = app_options(Path("/state"), "w1")
    assert options["processing_guarantee"] == "at_least_once"
    assert options["topic_allow_declare"] is False
    assert options["topic_disable_leader"] is True
    assert options["stream_wait_empty"] is True
    assert options["producer_acks"] == -1
    assert options["consumer_auto_offset_reset"] == "earliest"
    assert 0.005 <= options["producer_linger"] <= 0.020
    assert options["broker_heartbeat_interval"] * 3 <= options["broker_session_timeout"]


def test_a_lease_ends_before_the_session() -> None:
    assert app_settings.LEASE_SECONDS < app_settings.SESSION_SECONDS
