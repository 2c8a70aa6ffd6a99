"""Production of the support-refund agent: it decides over HTTP with live tools, and is recorded."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.fakes import FunctionTools
from agent.http.client import AgentClient
from agent.http.runtime import HttpRuntime
from agent.http.tools_endpoint import ToolsEndpoint
from agent.load import read_definition
from agent.ports import GenerationConfig
from agent.recorder import Setting, record, take_snapshot
from agent.run import AgentDefinition, Limits
from agent.spec import actions_match
from examples.support_refund.shop import CURRENCY, TIME_ZONE, Ticket, judge
from schemas.identity import canonical_json
from schemas.records import Action, AgentDecision, ExpertVerdict, Part, Turn

FOLDER = Path(__file__).parent
MODEL = "policy-1"
DELAY = timedelta(minutes=40)
"""Between a decision and its review."""


def support_refund() -> AgentDefinition:
    """What opoi knows of the agent; its code runs elsewhere."""
    return read_definition(FOLDER)


def decide(
    agent: AgentDefinition, client: AgentClient, endpoint: ToolsEndpoint, ticket: Ticket
) -> AgentDecision:
    """One decision, made and recorded. Raises AgentAway, NotADecision."""
    values = ticket.input()
    functions = {name: _text(function) for name, function in ticket.tools().items()}
    tools = FunctionTools(agent.spec, agent.declarations, functions, ticket.decided_at)
    snapshot = take_snapshot(agent.spec, tools, values, ticket.decided_at)
    decision_id = f"ticket-{ticket.number}"
    context = {
        "agent": agent.spec.name,
        "agent_version": agent.spec.version,
        "account_id": ticket.account_id,
        "decision_id": decision_id,
        "decided_at": ticket.decided_at,
        "account_time_zone": TIME_ZONE,
        "currency": CURRENCY,
        "prompt_id": agent.prompt_id,
        "toolset_id": agent.toolset_id,
        "spec_id": agent.spec.spec_id,
        "input": values,
    }
    limits = Limits(max_turns=8, max_seconds=30.0)
    run = HttpRuntime(client, endpoint, context, ticket.decided_at, limits).run(
        agent,
        question(values),
        tools,
        model_name=MODEL,
        run_id=f"{ticket.account_id}.{decision_id}",
    )
    setting = Setting(decision_id, ticket.account_id, TIME_ZONE, CURRENCY, values, MODEL, GenerationConfig())
    return record(agent, setting, run, decided_at=ticket.decided_at, snapshot=snapshot)


def question(values: Mapping[str, Any]) -> Turn:
    """The first turn of the conversation."""
    words = str(values["reason"]).replace("_", " ")
    asked = f"Customer {values['customer_id']} wants money back for order {values['order_id']}: {words}."
    return Turn(role="user", parts=(Part(kind="text", text=f"{asked}\n\n{canonical_json(dict(values))}"),))


def review(agent: AgentDefinition, ticket: Ticket, decision: AgentDecision) -> ExpertVerdict:
    """The expert's verdict on a decision: approved where it is what the expert would have done."""
    judged = judge(ticket)
    wanted = Action(
        name=judged.action,
        target=f"O{ticket.number}",
        arguments_json=canonical_json(dict(judged.arguments)),
    )
    right = actions_match(agent.spec, decision.action, wanted)
    return ExpertVerdict(
        agent=decision.agent,
        account_id=decision.account_id,
        decision_id=decision.decision_id,
        verdict_id=f"verdict-{ticket.number}",
        revision=1,
        expert="support-lead",
        kind="approve" if right else "correct",
        corrected_action=None if right else wanted,
        rationale=None if right else judged.rationale,
        given_at=decision.decided_at + DELAY,
    )


def _text(function: Callable[[Mapping[str, Any]], object]) -> Callable[[Mapping[str, Any]], str]:
    return lambda arguments: json.dumps(function(arguments))
