"""What producers may send: transactions."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, RIGHT, Half
from testkit.faust.workers import Worker, running, wait_until_drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeBed = Callable[..., Bed]


def produce(bed: Bed, producer: Producer, topic: str, number: int, *, counts: bool) -> None:
    """Sends one half; only what counts is expected to be processed."""

    def delivered(error: object, message: object) -> None:
        assert error is None
        if counts:
            bed.fed[topic, message.partition(), message.offset()] = f"id{number}"  # type: ignore[attr-defined]

    value = Half(id=f"id{number}", number=number).model_dump_json().encode()
    physical = bed.kafka.physical(topic)
    producer.produce(physical, value, f"id{number}".encode(), on_delivery=delivered)


def test_aborted_records_are_not_read_and_markers_are_no_hole(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=2)
    producer = Producer(
        {
            "bootstrap.servers": bed.bootstrap,
            "partitioner": "murmur2_random",
            "transactional.id": bed.stage,
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    for turn in range(12):
        producer.begin_transaction()
        aborted = turn % 3 == 1
        for number in range(turn * 10, turn * 10 + 10):
            for topic in (LEFT, RIGHT):
                produce(bed, producer, topic, number, counts=not aborted)
        producer.flush(30)
        if aborted:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    worker = Worker(bed, "1")
    with running(worker):
        assert wait_until_drained(bed, [worker], 120), worker.log.read_text()[-3000:]
        worker.stop()
    assert worker.exits == []
    report = bed.report()
    assert (report.fed, report.lost, report.unpaired, report.dead) == (160, [], 0, 0)
    assert report.disposed == 160, "what was aborted was never said"
