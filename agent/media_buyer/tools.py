"""The media buyer's tools on the Marketing API."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agent.run import AgentDefinition
from agent.settings import AdsSettings
from agent.tools.graph import GraphClient
from agent.tools.live import Arguments, LiveToolBox, Tool

CAMPAIGN_FIELDS = ["name", "daily_budget", "status", "effective_status", "budget_remaining"]
STAGES = ("LEARNING", "FAIL", "SUCCESS")
"""States of the learning phase; a campaign is in the first one that any of its ad sets is in."""


class GetInsights(Arguments):
    """Arguments of `get_insights`; the longest window is the recorder's alone."""

    entity_id: str = Field(min_length=1)
    date_preset: Literal["yesterday", "last_3d", "last_7d", "last_28d"]
    time_increment: Literal[1] | None = None
    fields_: tuple[str, ...] = Field(alias="fields", min_length=1)


class GetCampaign(Arguments):
    """Arguments of `get_campaign`."""

    campaign_id: str = Field(min_length=1)


class SetDailyBudget(Arguments):
    """Arguments of `set_daily_budget`; minor units."""

    campaign_id: str = Field(min_length=1)
    daily_budget: int = Field(ge=100, strict=True)


class SetStatus(Arguments):
    """Arguments of `set_status`."""

    campaign_id: str = Field(min_length=1)
    status: Literal["ACTIVE", "PAUSED"]


@contextmanager
def live_tools(
    agent: AgentDefinition,
    settings: AdsSettings,
    now: Callable[[], datetime],
    headers: Mapping[str, str] | None = None,
) -> Iterator[LiveToolBox]:
    """The tools of one run against the platform of `settings`; `headers` go with every request."""
    with closing(GraphClient(settings, headers)) as client:
        yield LiveToolBox(agent.spec, agent.declarations, _tools(client), now)


def _tools(client: GraphClient) -> dict[str, Tool]:

    def get_insights(arguments: GetInsights) -> object:
        parameters: dict[str, Any] = {"date_preset": arguments.date_preset}
        if arguments.time_increment is not None:
            parameters["time_increment"] = arguments.time_increment
        return {"data": client.insights(arguments.entity_id, list(arguments.fields_), parameters)}

    def get_campaign(arguments: GetCampaign) -> object:
        node = client.campaign(arguments.campaign_id, CAMPAIGN_FIELDS)
        ad_sets = client.ad_sets(arguments.campaign_id, ["learning_stage_info"])
        stages = [dict(one["learning_stage_info"]) for one in ad_sets if one.get("learning_stage_info")]
        stages.sort(
            key=lambda stage: STAGES.index(stage["status"]) if stage["status"] in STAGES else len(STAGES)
        )
        return {"id": arguments.campaign_id, **node, **({"learning_stage_info": stages[0]} if stages else {})}

    def set_daily_budget(arguments: SetDailyBudget) -> object:
        client.update_campaign(arguments.campaign_id, {"daily_budget": arguments.daily_budget})
        return {"success": True}

    def set_status(arguments: SetStatus) -> object:
        client.update_campaign(arguments.campaign_id, {"status": arguments.status})
        return {"success": True}

    return {
        "get_insights": Tool(GetInsights, get_insights),
        "get_campaign": Tool(GetCampaign, get_campaign),
        "set_daily_budget": Tool(SetDailyBudget, set_daily_budget),
        "set_status": Tool(SetStatus, set_status),
    }
