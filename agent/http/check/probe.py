"""The runs that the check starts, and what opoi saw of each."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.as_of import AsOfToolBox, as_of_steps
from agent.http.check.sample import Sample, decision_of
from agent.http.client import AgentClient, AgentRefused, RunAway
from agent.http.contract import Breach, DecisionContext, OraclePart, RunBudget, RunRequest, RunTrace
from agent.http.remote import context_of
from agent.http.tools_endpoint import Exchange, Session, SpecTools, ToolsEndpoint
from agent.http.verify_trace import verify
from agent.oracle import nonce, render
from agent.ports import ModelError, ToolAnswer, ToolBox
from agent.run import AgentDefinition, Limits
from schemas.records import Action, AgentDecision, ExpertVerdict, TargetAgent

POLL_SECONDS = 0.05
SEED = 7


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of the agent, from outside."""

    request: RunRequest
    trace: RunTrace | None
    exchanges: tuple[Exchange, ...]
    seconds: float
    fault: str | None
    """Why there is no trace."""
    breach: Breach | None
    """Where the trace contradicts what opoi saw."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent under check."""

    definition: AgentDefinition
    sample: Sample
    client: AgentClient
    endpoint: ToolsEndpoint
    budget: RunBudget


@dataclass
class SlowTools:
    """Tools that answer after a delay."""

    inner: ToolBox
    seconds: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """What the inner tools answer, after the delay."""
        time.sleep(self.seconds)
        return self.inner.call(tool, arguments)


def decision(agent: Agent) -> AgentDecision:
    """A decision like the sample, with an id that no other run has."""
    return decision_of(agent.definition, agent.sample, f"check-{secrets.token_hex(4)}")


def tools(agent: Agent, decided: AgentDecision, *, dry: bool = False) -> SpecTools:
    """The tools of a replay of `decided`; `dry`: without any answers."""
    spec = agent.definition.spec
    steps = () if dry else as_of_steps(spec, decided)
    return SpecTools(AsOfToolBox(spec, agent.definition.declarations, steps), spec)


def oracle(agent: Agent) -> OraclePart:
    """An oracle as a replay has it, towards an action that needs no arguments where there is one."""
    spec = agent.definition.spec
    name = next((name for name, one in spec.actions.items() if not one.arguments), next(iter(spec.actions)))
    verdict = ExpertVerdict(
        agent=spec.name, account_id="", decision_id="", verdict_id="check", expert="check", kind="correct",
        corrected_action=Action(name=name), given_at=agent.sample.decided_at,
    )  # fmt: skip
    return OraclePart(text=render(spec, verdict, 1, nonce(secrets.token_bytes(16), "check")), part=1)


def request_for(agent: Agent, decided: AgentDecision, session: Session, **changes: Any) -> RunRequest:
    """A request for a run of `decided` with the session's tools."""
    target = TargetAgent(
        agent_version=decided.agent_version,
        prompt_id=decided.prompt_id,
        toolset_id=decided.toolset_id,
        spec_id=decided.spec_id,
        model=decided.model,
        generation_config_json=decided.generation_config_json,
    )
    context = {**context_of(target, decided), "model": decided.model, "question": decided.turns[0]}
    fields: dict[str, Any] = {
        "run_id": session.run_id,
        "decision": DecisionContext.model_validate(context),
        "seed": SEED,
        "budget": agent.budget,
        "tools_url": agent.endpoint.tools_url(session),
        "tools_token": session.token,
    }
    return RunRequest(**(fields | changes))


def limits(budget: RunBudget) -> Limits:
    """The budget as the tools endpoint knows it."""
    return Limits(max_turns=budget.max_turns, max_seconds=budget.max_seconds)


def run(
    agent: Agent,
    *,
    hinted: bool = False,
    dry: bool = False,
    budget: RunBudget | None = None,
    tool_seconds: float = 0.0,
    grace: float = 0.0,
) -> Seen:
    """One run to its end; the agent has `grace` seconds beyond its budget."""
    decided = decision(agent)
    chosen = budget or agent.budget
    box: Any = tools(agent, decided, dry=dry)
    if tool_seconds:
        box = SlowTools(box, tool_seconds)
    begun = time.monotonic()
    with agent.endpoint.session(
        f"check.{secrets.token_hex(8)}", box, decided.decided_at, limits(chosen)
    ) as session:
        asked = request_for(agent, decided, session, budget=chosen, oracle=oracle(agent) if hinted else None)
        trace, fault = ended(agent.client, asked, chosen.max_seconds + grace)
    seen = Seen(asked, trace, session.exchanges, time.monotonic() - begun, fault, None)
    return replace(seen, breach=_breach(agent, seen))


def ended(client: AgentClient, asked: RunRequest, seconds: float) -> tuple[RunTrace | None, str | None]:
    """The trace of a run, or why there is none within `seconds`.

    Raises RunAway, which says nothing about whether the agent keeps the contract.
    """
    end = time.monotonic() + seconds
    try:
        status = client.start(asked, seconds)
        while status.trace is None:
            if time.monotonic() >= end:
                client.cancel(asked.run_id)
                return None, f"the run did not end within {seconds:g} s"
            time.sleep(POLL_SECONDS)
            status = client.status(asked.run_id, seconds)
    except AgentRefused as error:
        return None, f"{error.code}: {error}"
    except RunAway:
        raise
    except ModelError as error:
        return None, str(error)
    return status.trace, None


def _breach(agent: Agent, seen: Seen) -> Breach | None:
    if seen.trace is None:
        return None
    try:
        verify(seen.request, seen.trace, seen.exchanges, agent.definition.spec)
    except Breach as breach:
        return breach
    return None
