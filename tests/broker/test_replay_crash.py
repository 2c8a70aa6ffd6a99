"""Kill -9 in the middle of 20 replays: what is bought twice, which trace counts, what an example is made of.

The trigger and the sanitizer are their pure steps here, over what stands in the topics; the worker is real,
with its runtime and google-genai, and what it buys is counted at the model's server.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack.kafka import Broker
from schemas.identity import decision_key
from schemas.records import (
    AgentTrace,
    Budget,
    Case,
    CaseState,
    Disposition,
    ReplayRequest,
    Review,
    TrainingExample,
)
from streams.agents.artifact_store import publish
from streams.core.contract import Coordinates, Event
from streams.core.dependencies import Dependencies
from streams.stages.replay.results import TRACES
from streams.stages.sanitize.step import Sanitize
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.step import Trigger
from streams.stages.trigger.supersede import REVIEWS
from testkit import builders
from tests.broker.model_server import ARTIFACTS, IDS, ModelServer, model_server
from tests.broker.replay_kit import World, wait_for
from tests.unit.stages.conftest import actions, common, match, render

pytestmark = pytest.mark.stack
DECISIONS = 20
CONCURRENCY = 20


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[World]:
    made = World(broker, tmp_path)
    yield made
    made.end()


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server(0.75) as server:
        yield server


class Pipeline:
    """Trigger and sanitizer with a table of their own, wiped by making a new one."""

    def __init__(self, world: World) -> None:
        self._codec = world.codec
        ports = Dependencies(
            decode=world.codec.decode,
            render_oracle=render,
            actions_match=match,
            common_of=common,
            actions_of=actions,
            spend_of=lambda _: 0.0,
            is_remote=lambda _: False,
        )
        self._trigger = Trigger(
            TriggerRules(Budget(max_turns=8, max_output_tokens=1000, max_seconds=60)), ports
        )
        self._sanitize = Sanitize(ports)
        self._table: dict[str, CaseState | None] = {}
        self.requests: list[ReplayRequest] = []
        self.examples: dict[str, TrainingExample] = {}
        self.reasons: Counter[str] = Counter()

    def review(self, number: int, value: bytes) -> None:
        self._fold(REVIEWS, 0, number, value)

    def trace(self, partition: int, offset: int, value: bytes) -> None:
        self._fold(TRACES, partition, offset, value)

    def _fold(self, topic: str, partition: int, offset: int, value: bytes) -> None:
        record = self._codec.decode(topic, value)
        assert isinstance(record, Review | AgentTrace)
        key = decision_key(record.agent, record.decision_id)
        at = Coordinates(topic, partition, offset)
        event = Event(at, topic, datetime(2026, 11, 1, tzinfo=UTC), key.encode(), value, record)
        done = self._trigger.on_event(self._table.get(key), event)
        self._table[key] = done.state
        for output in done.outputs:
            made = output.record
            if isinstance(made, ReplayRequest):
                self.requests.append(made)
            elif isinstance(made, Disposition) and made.topic == TRACES:
                self.reasons[made.reason] += 1
            elif isinstance(made, Case):
                self._close(made, output.key)

    def _close(self, case: Case, key: str) -> None:
        at = Coordinates("opoi.cases", 0, 0)
        framed = self._codec.encode("opoi.cases", case)
        event = Event(at, "opoi.cases", case.closed_at, key.encode(), framed, case)
        for output in self._sanitize.on_event(event):
            if isinstance(output.record, TrainingExample) and output.record.arm == "opoi":
                assert output.record.decision_id not in self.examples
                self.examples[output.record.decision_id] = output.record


def reviews(world: World) -> list[bytes]:
    """Corrections that the worker's runs reach without an oracle."""
    found = []
    for number in range(DECISIONS):
        decision = builders.decision(f"d-{number}", builders.action("scale_up"), **IDS)
        given = builders.verdict(decision.decision_id, "correct", corrected_action=builders.action())
        review = Review(
            agent=decision.agent,
            account_id=decision.account_id,
            decision_id=decision.decision_id,
            status="joined",
            verdict_id=given.verdict_id,
            revision=given.revision,
            decision=world.codec.encode("agent.decisions", decision),
            verdict=given,
            split="train",
            reviewed_at=builders.at(0),
        )
        found.append(world.codec.encode(REVIEWS, review))
    return found


def test_after_kill_9_the_trace_with_the_lower_offset_counts_also_in_a_table_made_anew(
    world: World, model: ModelServer
) -> None:
    publish(world.kafka, world.codec, ARTIFACTS)
    given = reviews(world)
    pipeline = Pipeline(world)
    for number, value in enumerate(given):
        pipeline.review(number, value)
    later = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1)
    asked = world.ask(one.model_copy(update={"deadline_at": later}) for one in pipeline.requests)
    assert len(asked) == 3 * DECISIONS

    first = world.worker(concurrency=CONCURRENCY, model_url=model.url)
    # a worker dies with runs in flight, and with some whose traces stand but are not committed
    wait_for(lambda: len(world.traced()) >= CONCURRENCY and len(model.begun) > CONCURRENCY, every=0.05)
    first.kill()
    model.seconds = 0.25
    second = world.worker(concurrency=CONCURRENCY, model_url=model.url)
    wait_for(lambda: world.traced().keys() >= set(asked))
    assert second.stop() == 0
    assert {(one.status, one.usage.model_calls, one.misses) for one in world.traces()} == {
        ("completed", 2, 0)
    }

    bought = Counter(model.bought(asked))
    assert set(bought) == set(asked)
    assert max(bought.values()) == 2
    assert sum(bought.values()) - len(bought) <= CONCURRENCY

    # a worker that lost its partitions without knowing it lands what it had in flight all the same
    for trace in world.traces()[:5]:
        turns = builders.conversation("Seen by one that came late.", builders.action())
        late = world.codec.encode(TRACES, trace.model_copy(update={"turns": turns}))
        world.send(TRACES, decision_key(trace.agent, trace.decision_id), late)
    world.flush()

    messages = sorted(world.read(TRACES), key=lambda one: (one.partition(), one.offset()))
    built = []
    for attempt in range(2):
        pipeline = Pipeline(world)  # the second time the table was wiped
        for number, value in enumerate(given):
            pipeline.review(number, value)
        for message in messages:
            pipeline.trace(message.partition(), message.offset(), message.value())
        extra = len(messages) - len(asked)
        assert extra >= 5
        assert pipeline.reasons["duplicate_run"] + pipeline.reasons["case_is_closed"] == extra, attempt
        built.append(pipeline.examples)
    assert built[0] == built[1]
    assert len(built[0]) == DECISIONS

    lowest: dict[str, AgentTrace] = {}
    for message in messages:
        trace = world.codec.decode(TRACES, message.value())
        assert isinstance(trace, AgentTrace)
        lowest.setdefault(trace.replay_id, trace)
    for example in built[0].values():
        assert example.replay_id is not None
        assert example.turns[-1].parts == lowest[example.replay_id].turns[-1].parts
