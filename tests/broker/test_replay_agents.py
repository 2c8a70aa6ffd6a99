"""The replay worker and agents at their own services: one that is bad or away harms no other."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from agent.fakes import decision_text, says
from agent.http.service import AgentService
from agent.http.serving import Server, serving
from agent.ports import ModelReply
from agent.run import AgentDefinition
from agent.spec import AgentSpec
from local_stack.kafka import Broker
from local_stack.ports import free_port
from schemas.log_events import DEPENDENCY_UNREACHABLE
from schemas.records import Budget, ReplayRequest
from streams.agents.artifact_store import publish
from testkit import builders
from tests.broker.model_server import ARTIFACTS, IDS, LOOK, SPEC
from tests.broker.replay_kit import Worker, World, wait_for
from tests.unit.agent.http.hostile_agents import AWAY, DRIPPING, RUBBISH, raw_agent

pytestmark = pytest.mark.stack
NOBODY = "http://127.0.0.1:9"
"""A model that a run must not need."""
HOSTILE = [*(handler for handler, _ in (*DRIPPING, *RUBBISH)), *AWAY]
AT_ONCE = 10
EACH, GOOD = 2, 8
PEAK_BYTES = 1536 * 1024 * 1024
"""Of the worker's memory: one answer of 8 MiB can make 500 MiB of values, and they are checked one by one."""
SECONDS = 60.0
"""Within so many a good run ends, whatever the others do; the longest of theirs takes 5."""


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[World]:
    made = World(broker, tmp_path)
    publish(made.kafka, made.codec, ARTIFACTS)
    yield made
    made.end()


class Holds:
    """A model that changes nothing."""

    def generate(self, request: object) -> ModelReply:
        return says(decision_text("hold", "c1"))


@pytest.fixture
def good() -> Iterator[AgentService]:
    made = AgentService(AgentDefinition(AgentSpec.parse(SPEC), builders.PROMPT, (LOOK,)), Holds())
    yield made
    made.close()


def request(world: World, agent: str, url: str, number: int, deadline: float = 3600) -> ReplayRequest:
    """A run of an agent's decision at its own service."""
    decision = builders.decision(f"{agent}-{number}", agent=agent, **IDS)
    made = world.request(f"{agent}-{number}", deadline=deadline)
    return made.model_copy(
        update={
            "agent": agent,
            "target": builders.replay_request(decision).target.model_copy(update={"endpoint": url}),
            "decision": world.codec.encode("agent.decisions", decision),
            "budget": Budget(max_turns=4, max_output_tokens=1000, max_seconds=2),
        }
    )


def shuffled(seed: int, *many: list[ReplayRequest]) -> list[ReplayRequest]:
    found = [one for each in many for one in each]
    random.Random(seed).shuffle(found)
    return found


def outcomes(world: World) -> Counter[tuple[str, str]]:
    return Counter((trace.agent, trace.status) for trace in world.traces())


def are_traced(world: World, replays: set[str]) -> bool:
    return world.traced().keys() >= replays


def peak_bytes(worker: Worker) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def worker_at(world: World, concurrency: int) -> Worker:
    return world.worker(concurrency=concurrency, model_url=NOBODY, answer_seconds=2.0)


@pytest.mark.timeout(900)
def test_hostile_agents_harm_no_good_one_and_no_worker(world: World, good: AgentService) -> None:
    """A few of them at a time beside one good agent, until each has had its turn."""
    order = random.Random(20261130).sample(HOSTILE, len(HOSTILE))
    worker = worker_at(world, concurrency=4)
    asked: list[str] = []
    with serving(good.app()) as server:
        for turn, first in enumerate(range(0, len(order), AT_ONCE)):
            with ExitStack() as stack:
                urls = {
                    handler.__name__: stack.enter_context(raw_agent(handler))
                    for handler in order[first : first + AT_ONCE]
                }
                bad = [
                    request(world, name, url, number, deadline=10)
                    for name, url in urls.items()
                    for number in range(EACH)
                ]
                fine = [request(world, "media_buyer", server.url, GOOD * turn + each) for each in range(GOOD)]
                asked += world.ask(shuffled(turn, bad, fine))
                begun = time.monotonic()
                wait_for(partial(are_traced, world, {one.replay_id for one in fine}))
                assert time.monotonic() - begun < SECONDS
                wait_for(partial(are_traced, world, set(asked)))
        assert peak_bytes(worker) < PEAK_BYTES
        assert worker.stop() == 0
    assert world.traced() == dict.fromkeys(asked, 1)
    of_good = {key: count for key, count in outcomes(world).items() if key[0] == "media_buyer"}
    assert of_good == {("media_buyer", "completed"): GOOD * (turn + 1)}
    assert {trace.status for trace in world.traces() if trace.agent != "media_buyer"} == {
        "failed",
        "exhausted",
    }
    dripped = next(trace for trace in world.traces() if trace.agent == "drips_its_headers")
    assert "agent:drips_its_headers is away: AgentAway: the agent at http" in (dripped.reason or "")
    assert "did not begin its answer within 2 s" in (dripped.reason or "")
    assert world.read("opoi.dead-letters") == []


def test_a_service_that_is_away_pauses_its_own_replays_alone(world: World, good: AgentService) -> None:
    port = free_port()
    away = [request(world, "other", f"http://127.0.0.1:{port}", number) for number in range(40)]
    with serving(good.app()) as server:
        fine = [request(world, "media_buyer", server.url, number) for number in range(12)]
        lost = set(world.ask(away))
        worker = worker_at(world, concurrency=2)
        wait_for(lambda: DEPENDENCY_UNREACHABLE.text in worker.says())
        kept = set(world.ask(fine))
        wait_for(partial(are_traced, world, kept))
    assert outcomes(world) == {("media_buyer", "completed"): 12}
    assert "target=agent:other" in worker.says()
    # it comes back; that it runs another agent is no fault of the worker's
    server_again = Server(good.app(), port=port)
    wait_for(partial(are_traced, world, lost))
    server_again.close()
    assert worker.stop() == 0
    assert world.traced() == dict.fromkeys(kept | lost, 1)
    assert outcomes(world)["other", "version_skew"] == 40


def test_a_slow_agent_leaves_places_for_the_others(world: World, good: AgentService) -> None:
    """Its runs take the whole of their time, and there are always more of them."""
    with raw_agent(lambda talk: talk.answers(talk.status())) as slow, serving(good.app()) as server:
        many = [request(world, "slow", slow, number) for number in range(60)]
        fine = [request(world, "media_buyer", server.url, number) for number in range(20)]
        world.ask(many)
        worker = worker_at(world, concurrency=4)
        wait_for(lambda: outcomes(world)["slow", "exhausted"] >= 4)
        kept = set(world.ask(fine))
        wait_for(partial(are_traced, world, kept))
        # first come, first served, they would wait for all of the others
        assert outcomes(world)["slow", "exhausted"] < 60
    worker.kill()
