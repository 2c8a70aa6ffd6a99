"""The media buyer's tools on the Marketing API, its analysts' among them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from agent.media_buyer.limits import LIMITS
from agent.run import AgentDefinition
from agent.settings import AdsSettings
from agent.tools.graph import GraphClient
from agent.tools.live import Arguments, LiveToolBox, Tool

ACCOUNT_FIELDS = ["name", "currency", "timezone_name", "account_status", "spend_cap", "min_daily_budget"]
CAMPAIGN_FIELDS = ["name", "daily_budget", "status", "effective_status", "budget_remaining"]
AD_SET_FIELDS = ["name", "status", "effective_status", "optimization_goal", "learning_stage_info"]
AD_FIELDS = ["name", "adset_id", "status", "effective_status"]
ACTIVITY_FIELDS = ["event_time", "event_type", "object_id", "object_name", "actor_name", "extra_data"]
STAGES = ("LEARNING", "FAIL", "SUCCESS")
"""States of the learning phase; a campaign is in the first one that any of its ad sets is in."""
LEVEL_IDS = {
    "account": ["account_id"],
    "campaign": ["campaign_id"],
    "adset": ["adset_id"],
    "ad": ["adset_id", "ad_id"],
}
"""Fields that identify the rows of a level."""

Id = Annotated[str, Field(pattern=r"^\d+$")]
AccountId = Annotated[str, Field(pattern=r"^act_\d+$")]
EntityId = Annotated[str, Field(pattern=r"^(act_)?\d+$")]
Preset = Literal["yesterday", "last_3d", "last_7d", "last_28d"]


class TimeRange(Arguments):
    """Days in the account's time zone, both included."""

    since: date
    until: date

    @model_validator(mode="after")
    def _is_within_reach(self) -> Self:
        days = (self.until - self.since).days + 1
        most = LIMITS["longest_range_days"].value
        if not 1 <= days <= most:
            raise ValueError(f"{self.since} to {self.until} is {days} days; 1 to {most} can be asked for")
        return self


class GetInsights(Arguments):
    """Arguments of `get_insights`; only the recorder may use the longest preset."""

    entity_id: EntityId
    level: Literal["account", "campaign", "adset", "ad"] | None = None
    date_preset: Preset | None = None
    time_range: TimeRange | None = None
    time_increment: Literal[1] | None = None
    action_attribution_windows: tuple[Literal["1d_click", "7d_click", "1d_view"], ...] | None = None
    fields_: tuple[str, ...] = Field(alias="fields", min_length=1)

    @model_validator(mode="after")
    def _names_its_days(self) -> Self:
        if (self.date_preset is None) == (self.time_range is None):
            raise ValueError("give either date_preset or time_range")
        return self


class GetBreakdown(Arguments):
    """Arguments of `get_breakdown`."""

    entity_id: EntityId
    breakdowns: tuple[Literal["age", "gender", "publisher_platform"], ...] = Field(
        min_length=1, max_length=int(LIMITS["most_breakdowns"].value)
    )
    date_preset: Literal["yesterday", "last_3d", "last_7d"]
    time_increment: Literal[1] | None = None
    fields_: tuple[str, ...] = Field(alias="fields", min_length=1)


class GetAccount(Arguments):
    """Arguments of `get_account`."""

    account_id: AccountId


class OfCampaign(Arguments):
    """Arguments of the tools that read one campaign's settings, ad sets or ads."""

    campaign_id: Id


class GetChangeHistory(Arguments):
    """Arguments of `get_change_history`."""

    account_id: AccountId
    campaign_id: Id


class SetDailyBudget(Arguments):
    """Arguments of `set_daily_budget`; minor units."""

    campaign_id: Id
    daily_budget: int = Field(
        ge=LIMITS["smallest_budget_minor"].value, le=LIMITS["largest_budget_minor"].value, strict=True
    )


class SetStatus(Arguments):
    """Arguments of `set_status`."""

    campaign_id: Id
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
        yield LiveToolBox(agent.spec, agent.declarations, _reads(client, now) | _writes(client), now)


def _reads(client: GraphClient, now: Callable[[], datetime]) -> dict[str, Tool]:

    def get_insights(arguments: GetInsights) -> object:
        asked = arguments.model_dump(mode="json", exclude_none=True, by_alias=True)
        entity_id, fields = asked.pop("entity_id"), list(asked.pop("fields"))
        fields += [name for name in LEVEL_IDS.get(asked.get("level", ""), []) if name not in fields]
        return {"data": client.insights(entity_id, fields, asked)}

    def get_breakdown(arguments: GetBreakdown) -> object:
        asked = arguments.model_dump(mode="json", exclude_none=True, by_alias=True)
        entity_id, fields = asked.pop("entity_id"), list(asked.pop("fields"))
        return {"data": client.insights(entity_id, fields, asked)}

    def get_account(arguments: GetAccount) -> object:
        return {"id": arguments.account_id, **client.account(arguments.account_id, ACCOUNT_FIELDS)}

    def get_campaign(arguments: OfCampaign) -> object:
        node = client.campaign(arguments.campaign_id, CAMPAIGN_FIELDS)
        ad_sets = client.ad_sets(arguments.campaign_id, ["learning_stage_info"])
        stages = [dict(one["learning_stage_info"]) for one in ad_sets if one.get("learning_stage_info")]
        stages.sort(
            key=lambda stage: STAGES.index(stage["status"]) if stage["status"] in STAGES else len(STAGES)
        )
        return {"id": arguments.campaign_id, **node, **({"learning_stage_info": stages[0]} if stages else {})}

    def get_ad_sets(arguments: OfCampaign) -> object:
        return {"data": client.ad_sets(arguments.campaign_id, AD_SET_FIELDS)}

    def get_ads(arguments: OfCampaign) -> object:
        return {"data": client.ads(arguments.campaign_id, AD_FIELDS)}

    def get_change_history(arguments: GetChangeHistory) -> object:
        until = now()
        since = until - timedelta(days=float(LIMITS["change_history_days"].value))
        events = client.activities(
            arguments.account_id, arguments.campaign_id, (since, until), ACTIVITY_FIELDS
        )
        return {"data": [_change(event) for event in events]}

    return {
        "get_insights": Tool(GetInsights, get_insights),
        "get_breakdown": Tool(GetBreakdown, get_breakdown),
        "get_account": Tool(GetAccount, get_account),
        "get_campaign": Tool(OfCampaign, get_campaign),
        "get_ad_sets": Tool(OfCampaign, get_ad_sets),
        "get_ads": Tool(OfCampaign, get_ads),
        "get_change_history": Tool(GetChangeHistory, get_change_history),
    }


def _writes(client: GraphClient) -> dict[str, Tool]:

    def set_daily_budget(arguments: SetDailyBudget) -> object:
        client.update_campaign(arguments.campaign_id, {"daily_budget": arguments.daily_budget})
        return {"success": True}

    def set_status(arguments: SetStatus) -> object:
        client.update_campaign(arguments.campaign_id, {"status": arguments.status})
        return {"success": True}

    return {
        "set_daily_budget": Tool(SetDailyBudget, set_daily_budget),
        "set_status": Tool(SetStatus, set_status),
    }


def _change(event: Mapping[str, Any]) -> dict[str, Any]:
    """An activity with its old and new value as members, where they can be read."""
    shown = {name: event[name] for name in ACTIVITY_FIELDS if name in event and name != "extra_data"}
    try:
        extra = json.loads(event.get("extra_data") or "{}")
    except ValueError:
        return shown
    kept = ("old_value", "new_value", "currency")
    return shown | ({name: extra[name] for name in kept if name in extra} if isinstance(extra, dict) else {})
