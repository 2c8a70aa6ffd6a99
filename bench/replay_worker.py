"""Replays a minute by concurrency: the real worker, runtime and client, and a model that takes a second.

`python -m bench.replay_worker [--rounds 12] [--concurrency 1 8 32]`. Decisions of the media buyer, recorded
on the local ads platform, are asked again on a real broker, `rounds` of them in each slot; the local model
waits a second before it computes each answer. What is measured runs from the first request taken to the last
offset committed. The last columns say whose computing a replay costs; at the ideal, only waiting takes time.
Exit code 3 where a replay did not complete, or 8 at once are not 6 times as fast as one.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import structlog
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from agent.model import GeminiModel
from agent.replay import execute
from agent.settings import AdsSettings, ModelSettings
from bench.reference_agent import MODEL_NAME, Contents, ModelServer, model_server
from local_stack.ads.serving import served
from local_stack.ads.world import World
from local_stack.kafka import Broker
from local_stack.ports import free_port
from local_stack.traffic import Production
from schemas.catalog import topic as topic_spec
from schemas.codec import Codec
from schemas.identity import canonical_json, decision_key, deterministic_id
from schemas.memory import MemoryStore
from schemas.records import AgentDecision, AgentTrace, Budget, ReplayRequest
from schemas.settings import KafkaSettings
from schemas.stages import stage
from streams.cli.output import table
from streams.core.budgets import Allowance
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.kafka_clients import CheckedProducer
from streams.runtime.model_runs.limits import RunLimits
from streams.runtime.supervisor import WorkerFolders
from streams.settings import WorkerSettings
from streams.stages.replay.admission import Admission
from streams.stages.replay.loop import ReplayWorker
from streams.stages.replay.requests import REQUESTS, STAGE
from testkit.builders import replay_request

MODEL_SECONDS = 1.0
SCALED, SCALING = 8, 6.0
# without dice, so that every run of a decision takes as many calls of the model
TARGET = {"model": MODEL_NAME, "generation_config_json": canonical_json({"temperature": 0.0})}
DECISIONS = 6
SEED = 20260101
PARTITIONS = 8
HEAD = (
    *("at once", "completed", "model calls each", "replays/min", "of the ideal", "against the first"),
    *("worker ms each", "model ms each"),
)
CODEC = Codec(MemoryStore.whole())


@dataclass(frozen=True, slots=True)
class Measured:
    """What one concurrency came to."""

    concurrency: int
    replays: int
    completed: int
    calls: int
    seconds: float
    worker_seconds: float
    """Processor seconds of the worker, the runtime and the model's client."""
    model_seconds: float
    """Processor seconds of the model's server."""

    @property
    def rate(self) -> float:
        """Replays a minute."""
        return 60 * self.replays / self.seconds

    @property
    def ideal(self) -> float:
        """Replays a minute, if nothing took time but the model's waiting."""
        return 60 * self.concurrency * self.replays / (self.calls * MODEL_SECONDS)

    def row(self, first: "Measured") -> tuple[str, ...]:
        """As a row of the table."""
        return (
            str(self.concurrency),
            f"{self.completed} of {self.replays}",
            f"{self.calls / self.replays:.1f}",
            f"{self.rate:.0f}",
            f"{self.rate / self.ideal:.0%}",
            f"{self.rate / first.rate:.1f}x",
            f"{self.worker_seconds / self.replays * 1000:.0f}",
            f"{self.model_seconds / self.replays * 1000:.0f}",
        )


class Agent:
    """The real runtime on the local model; knows when it began and what came of it."""

    def __init__(self, url: str) -> None:
        self.began: float | None = None
        self.traces: list[AgentTrace] = []
        self._model = GeminiModel(ModelSettings(base_url=url))
        self._lock = threading.Lock()

    def __call__(self, request: ReplayRequest, decision: AgentDecision) -> AgentTrace:
        with self._lock:
            self.began = self.began or time.monotonic()
        trace = execute(request, decision, Contents(), self._model)
        with self._lock:
            self.traces.append(trace)
        return trace


def recorded(server: ModelServer) -> list[AgentDecision]:
    """Decisions that the media buyer takes on the local ads platform."""
    with served(World.make(SEED)) as url:
        model = GeminiModel(ModelSettings(base_url=server.url))
        return list(Production(model, MODEL_NAME, AdsSettings(graph_url=url)).decide(DECISIONS, SEED))


def answer_after(server: ModelServer, seconds: float) -> None:
    """Let the model wait before each answer."""
    body = json.dumps({"latencySeconds": seconds}).encode()
    urlopen(Request(f"{server.url}/local/faults", body), timeout=10).close()


def requests(decisions: Sequence[AgentDecision], count: int) -> Iterator[ReplayRequest]:
    """Un-hinted runs of the decisions in turn, each as a decision of its own."""
    now = datetime.now(UTC)
    for number in range(count):
        chosen = decisions[number % len(decisions)]
        decision = chosen.model_copy(update={"decision_id": f"{chosen.decision_id}-{number}"})
        target = replay_request(decision).target.model_copy(update=TARGET)
        yield replay_request(
            decision,
            replay_id=deterministic_id("bench", number),
            target=target,
            decision=CODEC.encode("agent.decisions", decision),
            budget=Budget(max_turns=24, max_output_tokens=20_000, max_seconds=300),
            requested_at=now,
            deadline_at=now + timedelta(hours=1),
        )


def measure(
    broker: Broker, folder: Path, server: ModelServer, asked: Sequence[ReplayRequest], concurrency: int
) -> Measured:
    """Run all that is asked, on topics of its own."""
    names = {*stage(STAGE).reads, *stage(STAGE).writes}
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap, topic_names={name: f"{concurrency}.{name}" for name in names}
    )
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = [NewTopic(kafka.physical(name), topic_spec(name).partitions or PARTITIONS, 1) for name in names]
    for future in admin.create_topics(wanted).values():
        future.result(30)
    producer = CheckedProducer(kafka)
    for request in asked:
        key = decision_key(request.agent, request.decision_id)
        producer.send(REQUESTS, key, CODEC.encode(REQUESTS, request))
    producer.flush()
    agent = Agent(server.url)
    bulletins = Admission(kafka, CODEC, STAGE, Allowance())
    guards = CrashGuard.in_folders(WorkerFolders(folder, STAGE, str(concurrency)), WorkerSettings())
    worker = ReplayWorker(kafka, CODEC, agent, bulletins, guards, RunLimits(concurrency))
    thread = threading.Thread(target=worker.run)
    used = time.process_time(), server.processor_seconds()
    thread.start()
    while len(agent.traces) < len(asked):
        assert thread.is_alive(), "the worker ended"
        time.sleep(0.02)
    # its end waits for what is still to be written, and commits
    worker.stop()
    thread.join()
    assert agent.began is not None
    return Measured(
        concurrency,
        len(asked),
        sum(one.status == "completed" for one in agent.traces),
        sum(one.attempts for one in agent.traces),
        time.monotonic() - agent.began,
        time.process_time() - used[0],
        server.processor_seconds() - used[1],
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, help="replays one after another in each slot")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, SCALED, 32])
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as name, model_server() as server:
        folder = Path(name)
        decisions = recorded(server)
        answer_after(server, MODEL_SECONDS)
        with Broker(folder, free_port(), free_port()) as broker:
            found = []
            for each in chosen.concurrency:
                asked = list(requests(decisions, each * chosen.rounds))
                found.append(measure(broker, folder, server, asked, each))
    print(table(HEAD, [one.row(found[0]) for one in found]))
    rates = {one.concurrency: one.rate for one in found}
    whole = all(one.completed == one.replays for one in found)
    scaling = rates[SCALED] / rates[1] if {1, SCALED} <= rates.keys() else SCALING
    print(f"from 1 to {SCALED} at once: {scaling:.1f}x (at least {SCALING:g}x)")
    raise SystemExit(0 if whole and scaling >= SCALING else 3)


if __name__ == "__main__":
    main()
