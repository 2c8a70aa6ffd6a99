"""A decision of the media buyer, made by the runtime with scripted words over recorded figures."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from agent.fakes import FunctionTools, ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import DecisionRequest, media_buyer
from agent.ports import GenerationConfig, ModelReply
from agent.recorder import Setting, record
from agent.run import AgentDefinition, Limits, Run
from agent.runtime import Runtime
from schemas.records import AgentDecision

CAMPAIGN = "100000511926228010"
DECIDED_AT = datetime(2026, 3, 10, 13, tzinfo=UTC)
FIELDS = ["spend", "impressions", "clicks", "actions", "purchase_roas"]
ASK_WEEK = {"entity_id": CAMPAIGN, "date_preset": "last_7d", "time_increment": 1, "fields": FIELDS}


def day_row(day: int, spend: str, purchases: int, roas: str) -> dict[str, Any]:
    """One day of March 2026 in Meta's shape."""
    return {
        "spend": spend,
        "impressions": "1000",
        "clicks": "20",
        "actions": [{"action_type": "purchase", "value": str(purchases)}],
        "purchase_roas": [{"action_type": "omni_purchase", "value": roas}],
        "date_start": f"2026-03-{day:02d}",
        "date_stop": f"2026-03-{day:02d}",
    }


WEEK = {"data": [day_row(day, f"{100 + day}.50", day, "2.500000") for day in range(3, 10)]}
CAMPAIGN_NODE = {"id": CAMPAIGN, "name": "Sales", "daily_budget": "12000", "status": "ACTIVE"}


@pytest.fixture
def agent() -> AgentDefinition:
    return media_buyer()


@pytest.fixture
def asked() -> DecisionRequest:
    return DecisionRequest(
        account_id="act_100000511926228",
        campaign_id=CAMPAIGN,
        date=date(2026, 3, 10),
        time_zone="America/New_York",
        currency="USD",
        target_cpa_minor=3200,
        target_roas=2.28,
    )


@pytest.fixture
def tools(agent: AgentDefinition) -> FunctionTools:
    def insights(arguments: Mapping[str, Any]) -> str:
        assert arguments["date_preset"] == "last_7d", "the recorded agent asks for the week only"
        return json.dumps(WEEK)

    functions: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "get_insights": insights,
        "get_campaign": lambda _: json.dumps(CAMPAIGN_NODE),
        **{name: lambda _: '{"data": []}' for name in ("get_breakdown", "get_ad_sets", "get_ads")},
        "get_account": lambda _: '{"currency": "USD"}',
        "get_change_history": lambda _: '{"data": []}',
        "set_daily_budget": lambda _: '{"success": true}',
        "set_status": lambda _: '{"success": true}',
    }
    return FunctionTools(agent.spec, agent.declarations, functions, DECIDED_AT)


def reads() -> ModelReply:
    """The first turn that the media buyer takes."""
    return says(call("get_insights", **ASK_WEEK), call("get_campaign", campaign_id=CAMPAIGN))


def raises_budget(budget: int = 14400) -> tuple[ModelReply, ...]:
    """The media buyer's turns where it raises the budget."""
    write = call("set_daily_budget", campaign_id=CAMPAIGN, daily_budget=budget)
    decided = decision_text("scale_up", CAMPAIGN, daily_budget=budget)
    return reads(), says(decided, write), says(text("Done."))


@pytest.fixture
def run_script(
    agent: AgentDefinition, asked: DecisionRequest, tools: FunctionTools
) -> Callable[..., tuple[Run, ScriptedModel]]:
    def run(
        *replies: ModelReply | Exception, limits: Limits | None = None, **runtime: Any
    ) -> tuple[Run, ScriptedModel]:
        model = ScriptedModel(replies)
        made = Runtime(model, limits or Limits(max_corrections=0), **runtime).run(
            agent,
            asked.turn(),
            tools,
            model_name="m",
            config=GenerationConfig(),
            run_id="r1",
            values=asked.model_dump(mode="json"),
        )
        return made, model

    return run


@pytest.fixture
def setting(asked: DecisionRequest) -> Setting:
    values = asked.model_dump(mode="json")
    return Setting("d1", asked.account_id, asked.time_zone, "USD", values, "m", GenerationConfig())


@pytest.fixture
def decision(
    agent: AgentDefinition, setting: Setting, run_script: Callable[..., tuple[Run, ScriptedModel]]
) -> AgentDecision:
    run, _ = run_script(*raises_budget())
    return record(agent, setting, run, decided_at=DECIDED_AT)
