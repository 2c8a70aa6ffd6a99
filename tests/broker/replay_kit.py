"""Topics, requests and workers for the tests of the replay worker on a real broker."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from local_stack.kafka import Broker
from schemas.catalog import topic as topic_spec
from schemas.codec import Codec
from schemas.identity import decision_key, deterministic_id
from schemas.memory import MemoryStore
from schemas.record import Record
from schemas.records import AgentTrace, Cancellation, Disposition, ReplayRequest
from schemas.settings import KafkaSettings
from streams.runtime.kafka_clients import CheckedProducer
from testkit import builders

PARTITIONS = 4
TOPICS = (
    "opoi.replay-requests",
    "opoi.retry.replay",
    "opoi.traces",
    "opoi.dispositions",
    "opoi.rejections",
    "opoi.dead-letters",
    "opoi.controls",
    "opoi.cancellations",
    "opoi.spending",
    "agent.artifacts",
)
ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class World:
    """Topics of one test's own, and the workers that it starts."""

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        protocol: str = "consumer",
        topics: Sequence[str] = TOPICS,
        process: str = "tests.broker.replay_process",
    ) -> None:
        self.broker = broker
        self.topics = topics
        self.process = process
        self.folder = folder
        self.prefix = f"t{next(_numbers)}-{time.time_ns()}"
        self.kafka = KafkaSettings(
            bootstrap_servers=broker.bootstrap,
            group_protocol=protocol,
            topic_names={name: f"{self.prefix}.{name}" for name in topics},
        )
        self.codec = Codec(MemoryStore.whole())
        self.starts_file = folder / "starts"
        self.away = folder / "away"
        self.registry_away = folder / "registry-away"
        self.workers: list[Worker] = []
        self._producer: CheckedProducer | None = None
        self._readers: dict[str, tuple[Consumer, list[Any]]] = {}
        self.create()

    @staticmethod
    def partitions(topic: str) -> int:
        return topic_spec(topic).partitions or PARTITIONS

    def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        wanted = [
            NewTopic(
                self.kafka.physical(name),
                num_partitions=self.partitions(name),
                replication_factor=1,
                config=topic_spec(name).topic_config(),
            )
            for name in self.topics
        ]
        for future in admin.create_topics(wanted).values():
            future.result(30)

    # in

    def request(
        self, decision_id: str, sample: int = 0, *, deadline: float = 3600, **changes: Any
    ) -> ReplayRequest:
        decision = builders.decision(decision_id)
        now = datetime.now(UTC)
        fields: dict[str, Any] = {
            "replay_id": deterministic_id(decision.agent, decision_id, sample),
            "sample": sample,
            "decision": self.codec.encode("agent.decisions", decision),
            "requested_at": now,
            "deadline_at": now + timedelta(seconds=deadline),
        }
        return builders.replay_request(decision, **(fields | changes))

    def cancel(self, decision_id: str, below: int) -> None:
        """Calls off requests of a decision with a lower case number, as the trigger does."""
        decision = builders.decision(decision_id)
        cancelled = Cancellation(
            agent=decision.agent,
            account_id=decision.account_id,
            decision_id=decision_id,
            case_number=below,
            reason="newer_verdict",
            until=datetime.now(UTC) + timedelta(hours=1),
            cancelled_at=datetime.now(UTC),
        )
        value = self.codec.encode("opoi.cancellations", cancelled)
        self.send("opoi.cancellations", decision_key(decision.agent, decision_id), value)
        self.flush()

    def ask(self, requests: Iterable[ReplayRequest]) -> list[str]:
        """Sends requests; their replay ids."""
        asked = list(requests)
        for one in asked:
            value = self.codec.encode("opoi.replay-requests", one)
            self.send("opoi.replay-requests", decision_key(one.agent, one.decision_id), value)
        self.flush()
        return [one.replay_id for one in asked]

    def send(self, topic: str, key: str | bytes | None, value: bytes | None, **options: Any) -> None:
        if self._producer is None:
            self._producer = CheckedProducer(self.kafka)
        self._producer.send(topic, key, value, **options)

    def flush(self) -> None:
        assert self._producer is not None
        self._producer.flush()

    # workers

    def worker(self, name: str = "1", **changes: Any) -> "Worker":
        config: dict[str, Any] = {
            "home": str(self.folder),
            "kafka": json.loads(self.kafka.model_dump_json()),
            "concurrency": 8,
            "attempts_per_day": None,
            "answer_seconds": 30.0,
            "name": name,
            "starts": str(self.starts_file),
            "away": str(self.away),
            "registry_away": str(self.registry_away),
            "model_url": None,
            "fast_seconds": 0.2,
            "slow_seconds": 3.0,
            "drain_seconds": 10.0,
            "kept": False,
        }
        path = self.folder / f"{name}-{len(self.workers)}.json"
        path.write_text(json.dumps(config | changes))
        worker = Worker(path, self.process)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        for worker in self.workers:
            code = worker.process.poll()
            worker.kill()
            # pytest shows it where the test failed
            last = "\n".join(worker.says().splitlines()[-60:])
            sys.stderr.write(f"{worker.log.name}, exit code {code}:\n{last}\n")
        for consumer, _ in self._readers.values():
            consumer.close()

    # out

    def read(self, topic: str) -> list[Any]:
        """Every message of a topic."""
        physical = self.kafka.physical(topic)
        if topic not in self._readers:
            config = {"group.id": "reader", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
            self._readers[topic] = Consumer({"bootstrap.servers": self.broker.bootstrap, **config}), []
            self._readers[topic][0].assign(
                [TopicPartition(physical, each, 0) for each in range(self.partitions(topic))]
            )
        consumer, found = self._readers[topic]
        places = consumer.assignment()
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=60)[1] for place in places}
        while any(max(each.offset, 0) < ends[each.partition] for each in consumer.position(places)):
            for message in consumer.consume(500, 0.1):
                if message.error() is None:
                    found.append(message)
        return list(found)

    def records(self, topic: str) -> list[Record]:
        return [self.codec.decode(topic, message.value()) for message in self.read(topic)]

    def traces(self) -> list[AgentTrace]:
        """Every trace."""
        return [record for record in self.records("opoi.traces") if isinstance(record, AgentTrace)]

    def traced(self) -> Counter[str]:
        """How many traces each replay has."""
        return Counter(record.replay_id for record in self.records("opoi.traces"))  # type: ignore[attr-defined]

    def outcomes(self) -> Counter[tuple[str, str]]:
        """Outcome and reason of each input, one a coordinate."""
        last: dict[tuple[str, int, int], Disposition] = {}
        for record in self.records("opoi.dispositions"):
            assert isinstance(record, Disposition)
            last[record.topic, record.partition, record.offset] = record
        return Counter((record.outcome, record.reason) for record in last.values())

    def starts(self) -> list[str]:
        """The replay ids of all runs that were begun, in order."""
        if not self.starts_file.exists():
            return []
        return [line.split()[0] for line in self.starts_file.read_text().splitlines()]

    def committed(self) -> dict[int, int]:
        """Offsets of the group on the requests, by partition."""
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "opoi-replay"})
        physical = self.kafka.physical("opoi.replay-requests")
        try:
            places = [TopicPartition(physical, partition) for partition in range(PARTITIONS)]
            return {one.partition: one.offset for one in consumer.committed(places, timeout=60)}
        finally:
            consumer.close()


class Worker:
    """One worker process."""

    def __init__(self, config: Path, process: str) -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", process, str(config)], cwd=ROOT, stderr=log
            )

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def stop(self, seconds: float = 120) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def ends(self, seconds: float = 180) -> int:
        """The exit code of a worker that ends by itself."""
        return self.process.wait(seconds)

    def says(self) -> str:
        return self.log.read_text(errors="replace")


def wait_for(condition: Callable[[], Any], seconds: float = 180, every: float = 0.2) -> None:
    """Returns once `condition` is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not _holds(condition):
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(every)


def _holds(condition: Callable[[], Any]) -> bool:
    try:
        return bool(condition())
    except KafkaException:
        return False  # a broker that has just come back
