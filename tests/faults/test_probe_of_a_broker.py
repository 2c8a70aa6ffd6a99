"""Whether a record stands somewhere, as a real broker tells it, whatever its batch unpacks to."""

from collections.abc import Callable

import psutil
import pytest
from confluent_kafka import Producer

from streams.faust_runner.safety.offset_probe import BrokerOffsetProbe, ProbeAway
from streams.faust_runner.safety.offset_tracker import Source
from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT
from testkit.raw_batches import RawRecord, batch, blown_up, produce

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
MIB = 1024 * 1024


@pytest.fixture
def bed(make_bed: Callable[..., Bed]) -> Bed:
    return make_bed(partitions=1)


def witness(bed: Bed) -> BrokerOffsetProbe:
    config = {"bootstrap.servers": bed.bootstrap}
    return BrokerOffsetProbe(config, {"bootstrap_servers": [bed.bootstrap]}, "nobody")


def source(bed: Bed) -> Source:
    return Source(bed.kafka.physical(LEFT), 0)


def feed(bed: Bed, content: bytes) -> None:
    code, _ = produce(bed.bootstrap, bed.kafka.physical(LEFT), 0, content)
    assert code == 0


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_of_hundreds_of_megabytes_holds_records(bed: Bed, codec: str) -> None:
    feed(bed, blown_up([b"a", b"b"], 300 * MIB, codec))
    feed(bed, batch([RawRecord(b"k", b"v", ((b"\xff", b""),))]))
    asked = witness(bed)
    before = psutil.Process().memory_info().rss
    assert [asked.first_record(source(bed), start, 3) for start in range(3)] == [0, 1, 2]
    assert asked.first_record(source(bed), 0, 1) == 0
    assert asked.first_record(source(bed), 3, 3) is None
    assert psutil.Process().memory_info().rss - before < 50 * MIB


def test_markers_and_what_was_aborted_are_no_records(bed: Bed) -> None:
    producer = Producer({"bootstrap.servers": bed.bootstrap, "transactional.id": bed.stage, "log_level": 0})
    producer.init_transactions(30)
    physical = bed.kafka.physical(LEFT)
    for abort in (False, True, True):
        producer.begin_transaction()
        producer.produce(physical, b"v", b"k")
        producer.flush(30)
        (producer.abort_transaction if abort else producer.commit_transaction)(30)
    asked, where = witness(bed), source(bed)
    # a record and its marker; twice an aborted record and its marker
    assert asked.bounds(where) == (0, 6)
    assert asked.first_record(where, 0, 6) == 0
    assert asked.first_record(where, 1, 6) is None
    bed.send(LEFT, "after", 1)
    bed.flush()
    assert asked.first_record(where, 1, 7) == 6
    assert asked.first_record(where, 1, 6) is None
    producer.begin_transaction()
    producer.produce(physical, b"v", b"k")
    producer.flush(30)
    with pytest.raises(ProbeAway, match="a transaction is open"):
        asked.first_record(where, 7, 8)
    producer.abort_transaction(30)
    assert asked.first_record(where, 7, 9) is None


def test_a_broker_that_is_away_is_no_answer(bed: Bed) -> None:
    asked = BrokerOffsetProbe(
        {"bootstrap.servers": bed.bootstrap}, {"bootstrap_servers": ["127.0.0.1:1"]}, "nobody"
    )
    with pytest.raises(ProbeAway, match="no answer"):
        asked.first_record(source(bed), 0, 1)
    with pytest.raises(ProbeAway):
        witness(bed).first_record(Source("no-such-topic", 0), 0, 1)
