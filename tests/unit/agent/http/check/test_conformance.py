"""`opoi agent check`: the reference agent keeps every clause; each broken one is told by its clause."""

import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import pytest

from agent.fakes import ScriptedModel
from agent.http import observed_calls, verify_trace
from agent.http.check.canary import canary
from agent.http.check.conformance import CLAUSES, ORDER, Finding, check
from agent.http.check.probe import Agent
from agent.http.client import AgentClient, RunAway
from agent.http.contract import RunBudget
from agent.http.tools_endpoint import ToolsEndpoint
from agent.media_buyer.definition import media_buyer
from agent.ports import ModelAway
from local_stack.sample import media_buyer_sample
from tests.unit.agent.http.broken_agents import VARIANTS, AnotherDecision, Broken, OtherQuestion, OtherWrite
from tests.unit.agent.http.http_kit import at

SECONDS = 3.0
SAMPLE = cache(media_buyer_sample)


def findings(made: Callable[[str], Broken]) -> dict[str, Finding]:
    """What the check says of an agent whose platform is the canary."""
    with canary(0) as watched, at(made(watched.url)) as url:
        client, endpoint = AgentClient(url), ToolsEndpoint()
        try:
            budget = RunBudget(max_turns=8, max_output_tokens=10_000, max_seconds=SECONDS)
            agent = Agent(media_buyer(), SAMPLE("m"), client, endpoint, budget)
            return {one.clause: one for one in check(agent, watched)}
        finally:
            endpoint.close()
            client.close()


def test_the_reference_agent_keeps_every_clause_within_30_seconds() -> None:
    begun = time.monotonic()
    found = findings(Broken)
    assert {name: one.outcome for name, one in found.items()} == dict.fromkeys(CLAUSES, "kept"), found
    assert time.monotonic() - begun < 30


@pytest.fixture(scope="module")
def checked() -> Iterator[Mapping[type[Broken], Future[dict[str, Finding]]]]:
    """The checks of all broken agents, some side by side: they mostly wait for what takes too long."""
    with ThreadPoolExecutor(3) as pool:
        yield {variant: pool.submit(findings, variant) for variant in VARIANTS}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_a_broken_agent_is_told_by_its_clause(
    variant: type[Broken], checked: Mapping[type[Broken], Future[dict[str, Finding]]]
) -> None:
    found = checked[variant].result()
    broken = [name for name, one in found.items() if one.outcome == "broken"]
    assert variant.clause in broken, found
    # what follows from it may be broken too; an agent that gives no trace at all breaks `runs` first
    assert broken[0] in (variant.clause, "runs"), found


@pytest.mark.parametrize(
    ("variant", "outcome"),
    [(AnotherDecision, "not shown"), (OtherQuestion, "not shown"), (OtherWrite, "kept")],
)
def test_nothing_is_said_of_what_an_earlier_breach_hides(
    variant: type[Broken], outcome: str, checked: Mapping[type[Broken], Future[dict[str, Finding]]]
) -> None:
    found = checked[variant].result()
    later = ("tools", "misses", "max_turns")
    assert {found[name].outcome for name in later} == {outcome}, found
    assert found["writes"].outcome != "kept"
    assert found["cancel"].outcome == "kept"


def test_every_breach_has_its_place_in_the_order() -> None:
    source = inspect.getsource(verify_trace) + inspect.getsource(observed_calls)
    raised = re.findall(r'Breach\(\s*"(\w+)"', source)
    assert set(raised) == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


def test_every_clause_has_an_agent_that_breaks_it() -> None:
    assert {variant.clause for variant in VARIANTS} == set(CLAUSES)


def test_an_agent_whose_model_is_away_is_neither_kept_nor_broken() -> None:
    class Away(Broken):
        def __init__(self, platform: str) -> None:
            super().__init__(platform)
            self._model = ScriptedModel([ModelAway("no answer")] * 20)

    with pytest.raises(RunAway, match="lacks a service"):
        findings(Away)
