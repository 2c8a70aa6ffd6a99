"""A worker that cannot work says why on one line and reads nothing; one that cannot write stops."""

import json
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from testkit.faust.harness import Bed
from testkit.faust.pairs import LEFT, PAIRS, RIGHT
from testkit.faust.workers import Worker, running, wait_until_drained

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeBed = Callable[..., Bed]


def configure(bed: Bed, topic: str, name: str, value: str) -> None:
    """Sets one topic configuration at the broker."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, bed.kafka.physical(topic), incremental_configs=[entry])
    for future in bed.admin.incremental_alter_configs([resource]).values():
        future.result(10)


def refusal(bed: Bed) -> str:
    """How the worker refuses to start."""
    worker = Worker(bed, "1")
    worker.start()
    assert worker.process is not None
    assert worker.process.wait(60) == 2
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    (last,) = [line for line in lines if line["level"] == "critical"]
    assert "Traceback" not in worker.log.read_text()
    return str(last["event"])


def test_partition_counts_that_differ(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=4, right=2)
    bed.send(LEFT, "id", 1)
    bed.flush()
    assert f"{bed.stage}.left has 4, {bed.stage}.right has 2" in refusal(bed)
    assert bed.committed() == {}


def test_a_changelog_that_is_not_compacted(make_bed: MakeBed) -> None:
    bed = make_bed()
    configure(bed, f"opoi-{bed.stage}-state-changelog", "cleanup.policy", "delete")
    assert "has cleanup.policy=delete, needed is compact" in refusal(bed)


@pytest.mark.parametrize("topic", [PAIRS, "changelog"])
def test_a_broker_that_takes_no_output_stops_the_worker_uncommitted(make_bed: MakeBed, topic: str) -> None:
    bed = make_bed()
    name = f"opoi-{bed.stage}-state-changelog" if topic == "changelog" else topic
    configure(bed, name, "max.message.bytes", "10")
    bed.send(LEFT, "id", 1)
    bed.send(RIGHT, "id", 1)
    bed.flush()
    worker = Worker(bed, "1")
    with running(worker):
        deadline = time.monotonic() + 120
        while len(worker.exits) < 2:
            assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
            worker.tend()
            time.sleep(0.05)
        assert worker.exits == [71, 71]
        assert sum(bed.committed().values()) < 2
        configure(bed, name, "max.message.bytes", "1000000")
        assert wait_until_drained(bed, [worker], 120)
        worker.stop()
    report = bed.report()
    assert (report.lost, report.unpaired, report.dead) == ([], 0, 0)
