"""Campaigns as the Marketing API shows and changes them, with quota and the faults of tests."""

import json
import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast, get_args

from local_stack.ads import quota
from local_stack.ads.errors import (
    failure,
    invalid_parameter,
    too_many_budget_changes,
    too_many_calls,
    unknown_object,
)
from local_stack.ads.insights import Entity
from local_stack.ads.state import Change, Standing, State, Status
from local_stack.ads.structure import Ad, AdSet
from local_stack.ads.world import Account, Campaign

POINTS = 9000
MINIMUM_BUDGET = 100
BUDGET_CHANGES_AN_HOUR = 4
CAMPAIGN_FIELDS = (
    "id", "account_id", "name", "objective", "status", "effective_status", "configured_status",
    "daily_budget", "budget_remaining", "bid_strategy", "buying_type", "created_time",
)  # fmt: skip
AD_SET_FIELDS = (
    "id", "campaign_id", "account_id", "name", "status", "effective_status", "configured_status",
    "optimization_goal", "billing_event", "created_time", "learning_stage_info",
)  # fmt: skip
AD_FIELDS = (
    "id", "adset_id", "campaign_id", "account_id", "name", "status", "effective_status", "configured_status",
    "created_time",
)  # fmt: skip
ACCOUNT_FIELDS = (
    "id", "account_id", "name", "currency", "timezone_name", "account_status", "spend_cap",
    "min_daily_budget",
)  # fmt: skip
ACTIVITY_FIELDS = (
    "event_time", "event_type", "translated_event_type", "object_id", "object_name", "object_type",
    "actor_name", "extra_data",
)  # fmt: skip
ACTIVE_ACCOUNT = 1
ACTIVITY_DAYS = 7
"""How far back the activities edge looks by default."""


class Platform:
    """The API's view of the world: objects, writes, quota, faults of tests."""

    def __init__(self, state: State, points: int = POINTS) -> None:
        self.state = state
        self.quota = quota.Quota(points)
        self._faults: deque[int] = deque()
        self._lock = threading.Lock()

    def fail_next(self, status: int, count: int) -> None:
        """Answer the next `count` requests with `status`."""
        with self._lock:
            self._faults.extend([status] * count)

    def reset(self) -> None:
        """Forget all changes, faults and counts."""
        with self._lock:
            self._faults.clear()
        self.state.reset()
        self.quota.reset()

    def admit(self, account: Account, *, write: bool, insights: bool = False) -> dict[str, str]:
        """Count a request; its usage headers. Raises GraphError for a fault or a used-up quota."""
        with self._lock:
            status = self._faults.popleft() if self._faults else None
        if status is not None:
            raise too_many_calls(account.account_id, insights=insights) if status == 429 else failure()
        used = self.quota.take(account.account_id, write=write)
        if used is None:
            raise too_many_calls(account.account_id, insights=insights)
        return quota.headers(account.account_id, used, insights=insights)

    def find(self, object_id: str, method: str) -> Entity:
        """The object of an id. Raises GraphError."""
        state = self.state
        for known in (state.campaigns, state.accounts, state.ad_sets, state.ads):
            if object_id in known:
                return known[object_id]
        raise unknown_object(object_id, method)

    def of_account(self, account: Account) -> tuple[Campaign, ...]:
        """The account's campaigns."""
        return tuple(c for c in self.state.world.campaigns if c.account == account)

    def campaign(self, campaign: Campaign, now: datetime, fields: tuple[str, ...]) -> dict[str, object]:
        """The campaign node."""
        standing = self.state.standing(campaign, now)
        spent = self.state.seen(campaign, campaign.account.local_day(now), now).spend
        node: dict[str, object] = {
            "id": campaign.campaign_id,
            "account_id": campaign.account.account_id.removeprefix("act_"),
            "name": campaign.name,
            "objective": "OUTCOME_SALES",
            "status": standing.status,
            "effective_status": standing.status,
            "configured_status": standing.status,
            "daily_budget": str(standing.budget),
            "budget_remaining": str(max(0, standing.budget - spent)),
            "bid_strategy": "LOWEST_COST_WITHOUT_CAP",
            "buying_type": "AUCTION",
            "created_time": campaign.account.day_start(campaign.created).isoformat(),
        }
        return {name: node[name] for name in fields} | {"id": campaign.campaign_id}

    def account(self, account: Account, fields: tuple[str, ...]) -> dict[str, object]:
        """The account node."""
        node: dict[str, object] = {
            "id": account.account_id,
            "account_id": account.account_id.removeprefix("act_"),
            "name": account.name,
            "currency": account.currency,
            "timezone_name": account.time_zone,
            "account_status": ACTIVE_ACCOUNT,
            "spend_cap": "0",
            "min_daily_budget": MINIMUM_BUDGET,
        }
        return {name: node[name] for name in fields} | {"id": account.account_id}

    def ad_set(self, ad_set: AdSet, now: datetime, fields: tuple[str, ...]) -> dict[str, object]:
        """An ad set's node; the budget and the learning are the campaign's."""
        campaign = ad_set.campaign
        node: dict[str, object] = {
            "id": ad_set.ad_set_id,
            "name": ad_set.name,
            **_below(campaign, self.state.standing(campaign, now)),
            "optimization_goal": "OFFSITE_CONVERSIONS",
            "billing_event": "IMPRESSIONS",
        }
        if "learning_stage_info" in fields:
            node["learning_stage_info"] = self.state.learning(campaign, now)
        return {name: node[name] for name in fields} | {"id": ad_set.ad_set_id}

    def ad(self, ad: Ad, now: datetime, fields: tuple[str, ...]) -> dict[str, object]:
        """An ad's node."""
        campaign = ad.ad_set.campaign
        node: dict[str, object] = {"id": ad.ad_id, "adset_id": ad.ad_set.ad_set_id, "name": ad.name}
        node |= _below(campaign, self.state.standing(campaign, now))
        return {name: node[name] for name in fields} | {"id": ad.ad_id}

    def activities(
        self, campaigns: tuple[Campaign, ...], since: datetime, until: datetime, fields: tuple[str, ...]
    ) -> list[dict[str, object]]:
        """Changes of the campaigns' budget and status in (since, until], the latest first."""
        found = [
            (change, event)
            for campaign in campaigns
            for change, before in self.state.history(campaign, since, until)
            for event in _events(campaign, change, before)
        ]
        found.sort(key=lambda one: one[0].at, reverse=True)
        return [{name: event[name] for name in fields} for _, event in found]

    def update(self, campaign: Campaign, values: Mapping[str, str], now: datetime) -> None:
        """Apply the write of a campaign's budget, status or both. Raises GraphError."""
        budget = _budget(values.get("daily_budget"))
        status = _status(values.get("status"))
        if budget is None and status is None:
            raise invalid_parameter("nothing to change: daily_budget and status are what can be written here")
        hour = self.state.changes(campaign, now - timedelta(hours=1), now)
        if budget is not None and len(hour) >= BUDGET_CHANGES_AN_HOUR:
            raise too_many_budget_changes(campaign.campaign_id)
        if "validate_only" not in values.get("execution_options", ""):
            self.state.write(campaign, now, budget=budget, status=status)


def _below(campaign: Campaign, standing: Standing) -> dict[str, object]:
    """The fields that ad sets and ads take from their campaign."""
    return {
        "campaign_id": campaign.campaign_id,
        "account_id": campaign.account.account_id.removeprefix("act_"),
        "status": "ACTIVE",
        "effective_status": "ACTIVE" if standing.status == "ACTIVE" else "CAMPAIGN_PAUSED",
        "configured_status": "ACTIVE",
        "created_time": campaign.account.day_start(campaign.created).isoformat(),
    }


def _events(campaign: Campaign, change: Change, before: Standing) -> list[dict[str, object]]:
    """The entries of the change history that one change makes."""
    after = change.standing
    team = change.at == campaign.account.day_start(campaign.account.local_day(change.at))
    common: dict[str, object] = {
        "event_time": change.at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "object_id": campaign.campaign_id,
        "object_name": campaign.name,
        "object_type": "CAMPAIGN",
        "actor_name": "Account team" if team else "Media buyer",
    }
    events = []
    for kind, shown, old, new in (
        ("update_campaign_budget", "Campaign budget updated", before.budget, after.budget),
        ("update_campaign_run_status", "Campaign status updated", before.status, after.status),
    ):
        if old != new:
            extra = json.dumps({"old_value": old, "new_value": new, "currency": campaign.account.currency})
            events.append(common | {"event_type": kind, "translated_event_type": shown, "extra_data": extra})
    return events


def _budget(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise invalid_parameter(f"daily_budget must be an integer number of minor units, not {text!r}")
    if int(text) < MINIMUM_BUDGET:
        raise invalid_parameter(
            f"daily_budget {text} is below the least possible, {MINIMUM_BUDGET} minor units"
        )
    return int(text)


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    for status in get_args(Status):
        if text == status:
            return cast(Status, status)
    raise invalid_parameter(f"status must be one of ACTIVE, PAUSED, not {text!r}")
