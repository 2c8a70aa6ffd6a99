"""The support-refund agent through the pipeline's own steps, over HTTP; they do not know what it does."""

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.http.check.conformance import CLAUSES, check
from agent.http.check.probe import Agent
from agent.http.check.sample import read_sample
from agent.http.client import AgentClient
from agent.http.contract import RunBudget
from agent.http.remote import RemoteAgents
from agent.http.tools_endpoint import ToolsEndpoint
from agent.media_buyer.definition import artifacts
from agent.oracle import nonce, render
from agent.replay import execute
from agent.settings import EndpointSettings, ReplaySettings
from agent.spec import actions_match
from examples.support_refund.production import FOLDER, decide, review, support_refund
from examples.support_refund.shop import Ticket
from schemas.identity import canonical_json
from schemas.records import (
    AgentTrace,
    Budget,
    Case,
    GapReport,
    Rejection,
    ReplayRequest,
    Review,
    TrainingExample,
)
from streams.core.dependencies import Dependencies
from streams.gates.gate import Common
from streams.stages.sanitize.step import Sanitize
from streams.stages.trigger.replay_requests import TriggerRules
from streams.stages.trigger.step import Trigger
from testkit.builders import EPOCH, codec, event, of_type
from tests.refund_agent import served

TICKETS = 24
RULES = TriggerRules(
    budget=Budget(max_turns=8, max_output_tokens=1000, max_seconds=30), deadline=timedelta(hours=1)
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The agent, served."""
    with served() as address:
        yield address


class NoModel:
    """The pipeline's own model, which this agent has no use for."""

    def generate(self, request: object) -> Any:
        raise AssertionError("the pipeline's own model was asked")


class Pipeline:
    """Review, trigger, replay and sanitize of one decision after the other."""

    def __init__(self, url: str) -> None:
        self.agent = support_refund()
        self.contents = {one.artifact_id: one.content for one in artifacts(self.agent, EPOCH)}
        self.remote = RemoteAgents(
            ReplaySettings(endpoints={self.agent.spec.name: EndpointSettings(url=url)})
        )
        self.client, self.endpoint = AgentClient(url), ToolsEndpoint()
        spec = self.agent.spec
        common = Common(
            self.agent.system_prompt,
            canonical_json(list(self.agent.declarations)),
            spec.content().decode(),
            frozenset(spec.actions),
        )
        self.ports = Dependencies(
            decode=codec.decode,
            render_oracle=lambda _, verdict, strength, replay_id: render(
                spec, verdict, strength, nonce(b"secret", replay_id)
            ),
            actions_match=lambda _, one, other: actions_match(spec, one, other),
            common_of=lambda _: common,
            actions_of=lambda _: frozenset(spec.actions),
            spend_of=lambda decision: spec.spend_of(decision.action),
            is_remote=lambda _: True,
        )
        self.traces: list[AgentTrace] = []
        self.cases: list[Case] = []
        self.examples: list[TrainingExample] = []
        self.rejections: list[Rejection] = []
        self.gaps: list[GapReport] = []

    def content(self, artifact_id: str) -> bytes | None:
        return self.contents.get(artifact_id)

    def take(self, ticket: Ticket) -> None:
        decision = decide(self.agent, self.client, self.endpoint, ticket)
        verdict = review(self.agent, ticket, decision)
        joined = Review(
            agent=decision.agent,
            account_id=decision.account_id,
            decision_id=decision.decision_id,
            status="joined",
            verdict_id=verdict.verdict_id,
            revision=verdict.revision,
            decision=codec.encode("agent.decisions", decision),
            verdict=verdict,
            split="train",
            time_to_verdict_ms=1,
            reviewed_at=verdict.given_at,
        )
        trigger, state = Trigger(RULES, self.ports), None
        waiting = [event("opoi.reviews", joined)]
        while waiting:
            result = trigger.on_event(state, waiting.pop(0))
            state = result.state
            self.cases += of_type(result.outputs, Case)
            for request in of_type(result.outputs, ReplayRequest):
                trace = execute(request, decision, self, NoModel(), remote=self.remote, now=lambda: EPOCH)
                self.traces.append(trace)
                waiting.append(event("opoi.traces", trace))
        outputs = Sanitize(self.ports).on_event(event("opoi.cases", self.cases[-1]))
        self.examples += of_type(outputs, TrainingExample)
        self.rejections += of_type(outputs, Rejection)
        self.gaps += of_type(outputs, GapReport)

    def close(self) -> None:
        self.remote.close()
        self.client.close()
        self.endpoint.close()


@pytest.fixture(scope="module")
def pipeline(url: str) -> Iterator[Pipeline]:
    made = Pipeline(url)
    for number in range(TICKETS):
        made.take(Ticket(number))
    yield made
    made.close()


def test_every_run_came_to_a_decision(pipeline: Pipeline) -> None:
    assert Counter((one.status, one.reason) for one in pipeline.traces) == {
        ("completed", None): len(pipeline.traces)
    }
    assert len(pipeline.traces) > TICKETS


def test_its_verdicts_yield_unhinted_hits_opoi_rows_and_rejections(pipeline: Pipeline) -> None:
    sources = Counter(one.source for one in pipeline.examples if one.arm == "opoi")
    assert sources["unhinted"] >= 1
    assert sources["hinted"] >= 1
    assert sources["own_trace"] >= 1
    reasons = Counter(one.reason_code for one in pipeline.rejections if one.arm == "opoi")
    assert reasons["action_not_reached"] >= 1, reasons
    assert {one.gap_class for one in pipeline.gaps} >= {"performance_gap", "architecture_gap"}


def test_every_way_to_answer_as_of_the_decision_was_taken(pipeline: Pipeline) -> None:
    answered = Counter(
        part.answered_by
        for trace in pipeline.traces
        for turn in trace.turns
        for part in turn.parts
        if part.kind == "function_response"
    )
    assert answered.keys() == {"recording", "superset", "snapshot", "simulated"}, answered
    assert not any(trace.misses for trace in pipeline.traces)


def test_no_row_carries_the_oracle(pipeline: Pipeline) -> None:
    hinted = [one for one in pipeline.examples if one.source == "hinted"]
    assert hinted
    for row in hinted:
        text = row.model_dump_json()
        assert "[note " not in text
        assert "Expected action" not in text


def test_the_same_request_gives_the_same_trace(pipeline: Pipeline) -> None:
    ticket = Ticket(1)
    one, other = (decide(pipeline.agent, pipeline.client, pipeline.endpoint, ticket) for _ in range(2))
    assert one == other


def test_it_keeps_the_contract(url: str) -> None:
    client, endpoint = AgentClient(url), ToolsEndpoint()
    try:
        budget = RunBudget(max_turns=8, max_output_tokens=1000, max_seconds=10)
        agent = Agent(support_refund(), read_sample(FOLDER), client, endpoint, budget)
        found = {one.clause: one for one in check(agent)}
    finally:
        endpoint.close()
        client.close()
    assert {name for name, one in found.items() if one.outcome == "kept"} == set(CLAUSES) - {"canary"}, found


@pytest.mark.parametrize(
    ("name", "own"),
    [("service.py", {"examples", "run"}), ("run.py", {"examples", "policy"}), ("policy.py", set())],
)
def test_the_agent_itself_is_plain_python(name: str, own: set[str]) -> None:
    tree = ast.parse((FOLDER / name).read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == own


def test_the_sample_is_asked_as_production_asks() -> None:
    sample = read_sample(Path(FOLDER))
    assert json.loads(sample.question.split("\n\n")[1]) == sample.input
