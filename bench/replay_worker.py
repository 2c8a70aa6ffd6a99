"""Replays a minute by concurrency, on a real broker, with a model that answers after a second.

    python bench/replay_worker.py [--seconds 20] [--concurrency 1 8 32]

Requests embed a decision of 200 kB, traces have 100 kB. What is measured runs from the first request taken to
the last offset committed.
"""

import argparse
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from rich.console import Console
from rich.table import Table

from schemas.catalog import topic as topic_spec
from schemas.catalog import topics
from schemas.codec import Codec
from schemas.identity import decision_key, deterministic_id
from schemas.memory import MemoryStore
from schemas.records import (
    Action,
    AgentDecision,
    AgentTrace,
    Budget,
    Part,
    ReplayRequest,
    TargetAgent,
    Turn,
    Usage,
)
from schemas.settings import KafkaSettings
from streams.kafka_clients import CheckedProducer
from streams.local.kafka import Broker
from streams.processors.keeper import Folders
from streams.processors.settings import WorkerSettings
from streams.steps.budgets import Allowance
from streams.workers.bounds import Bounds
from streams.workers.bulletins import Bulletins
from streams.workers.guards import Guards
from streams.workers.replay_worker import ReplayWorker
from streams.workers.requests import REQUESTS, STAGE

MODEL_SECONDS = 1.0
DECISION_BYTES, TRACE_BYTES = 200_000, 100_000
PARTITIONS = 8
CODEC = Codec(MemoryStore.whole())
NOW = datetime.now(UTC)


def text(size: int, seed: int) -> tuple[Turn, ...]:
    """A conversation of about `size` bytes that does not compress away."""
    content = "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz    ", k=size))
    return (Turn(role="user", parts=(Part(kind="text", text=content),)),)


def requests(count: int) -> Iterator[ReplayRequest]:
    """Requests about decisions of their own."""
    action = Action(name="hold")
    for number in range(count):
        decision = AgentDecision(
            agent="bench",
            account_id="a",
            decision_id=f"d{number}",
            agent_version="1",
            account_time_zone="UTC",
            currency="EUR",
            segment="all",
            decided_at=NOW,
            prompt_id="p",
            toolset_id="t",
            spec_id="s",
            model="m",
            input_json="{}",
            turns=text(DECISION_BYTES, number),
            action=action,
            rationale="",
            usage=Usage(),
        )
        yield ReplayRequest(
            agent=decision.agent,
            account_id=decision.account_id,
            decision_id=decision.decision_id,
            verdict_id="v",
            revision=1,
            replay_id=deterministic_id("bench", number),
            arm="unhinted",
            strength=0,
            sample=0,
            target=TargetAgent(agent_version="1", prompt_id="p", toolset_id="t", spec_id="s", model="m"),
            decision=CODEC.encode("agent.decisions", decision),
            budget=Budget(max_turns=1, max_output_tokens=1, max_seconds=60),
            requested_at=NOW,
            deadline_at=NOW + timedelta(hours=1),
        )


class Agent:
    """Answers after a second; knows when it began and how often it ended."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended = 0
        self._turns = text(TRACE_BYTES, -1)
        self._lock = threading.Lock()

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        with self._lock:
            self.began = self.began or time.monotonic()
        time.sleep(MODEL_SECONDS)
        with self._lock:
            self.ended += 1
        shared = {name: getattr(request, name) for name in AgentTrace.model_fields if hasattr(request, name)}
        return AgentTrace(
            **shared | {"caused_by": (), "turns": self._turns},
            status="completed",
            action=decision.action,
            rationale="",
            usage=Usage(model_calls=1),
            started_at=NOW,
            finished_at=NOW,
        )


def measure(broker: Broker, folder: Path, protocol: str, concurrency: int, seconds: float) -> float:
    """Replays a minute."""
    count = max(8, round(concurrency * seconds / MODEL_SECONDS))
    names = [name for name, spec in topics().items() if STAGE in (*spec.producers, *spec.consumers)]
    prefix = f"{protocol}-{concurrency}"
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap_servers": broker.bootstrap,
            "group_protocol": protocol,
            "topic_names": {name: f"{prefix}.{name}" for name in names},
        }
    )
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = [NewTopic(kafka.physical(name), topic_spec(name).partitions or PARTITIONS, 1) for name in names]
    for future in admin.create_topics(wanted).values():
        future.result(30)
    producer = CheckedProducer(kafka)
    for request in requests(count):
        key = decision_key(request.agent, request.decision_id)
        producer.send(REQUESTS, key, CODEC.encode(REQUESTS, request))
    producer.flush()
    agent = Agent()
    bulletins = Bulletins(kafka, CODEC, STAGE, Allowance())
    guards = Guards.in_folders(Folders(folder, STAGE, prefix), WorkerSettings())
    worker = ReplayWorker(kafka, CODEC, agent, bulletins, guards, Bounds(concurrency))
    thread = threading.Thread(target=worker.run)
    thread.start()
    while agent.ended < count:
        time.sleep(0.02)
    # its end waits for what is still to be written, and commits
    worker.stop()
    thread.join()
    assert agent.began is not None
    return 60 * count / (time.monotonic() - agent.began)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20, help="length of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--protocol", nargs="+", default=["consumer"], choices=["consumer", "classic"])
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    table = Table("protocol", "concurrency", "replays/min", "of the ideal", "against the first")
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as name:
        folder = Path(name)
        with Broker(folder, *free_ports()) as broker:
            for protocol in chosen.protocol:
                rates = [
                    measure(broker, folder, protocol, concurrency, chosen.seconds)
                    for concurrency in chosen.concurrency
                ]
                for concurrency, rate in zip(chosen.concurrency, rates, strict=True):
                    ideal = rate * MODEL_SECONDS / 60 / concurrency
                    against = f"{rate / rates[0]:.1f}x"
                    table.add_row(protocol, str(concurrency), f"{rate:.0f}", f"{ideal:.0%}", against)
    Console().print(table)


if __name__ == "__main__":
    main()
