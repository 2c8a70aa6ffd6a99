"""Campaigns as the Marketing API shows and changes them, with quota and the faults that tests ask for."""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast, get_args

from agent.local.ads import quota
from agent.local.ads.errors import (
    failure,
    invalid_parameter,
    too_many_budget_changes,
    too_many_calls,
    unknown_object,
)
from agent.local.ads.state import State, Status
from agent.local.ads.world import Account, Campaign

POINTS = 9000
MINIMUM_BUDGET = 100
BUDGET_CHANGES_AN_HOUR = 4
CAMPAIGN_FIELDS = (
    "id", "account_id", "name", "objective", "status", "effective_status", "configured_status",
    "daily_budget", "budget_remaining", "bid_strategy", "buying_type", "created_time",
)  # fmt: skip
AD_SET_FIELDS = (
    "id",
    "campaign_id",
    "account_id",
    "name",
    "status",
    "effective_status",
    "learning_stage_info",
)


class Platform:
    """The requests' side of the world: objects, writes, quota, faults that tests ask for."""

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
        """Forget what was changed, asked for and counted."""
        with self._lock:
            self._faults.clear()
        self.state.reset()
        self.quota.reset()

    def admit(self, account: Account, *, write: bool) -> dict[str, str]:
        """Count a request and give its usage headers. Raises GraphError for a fault or a used-up quota."""
        with self._lock:
            status = self._faults.popleft() if self._faults else None
        if status is not None:
            raise too_many_calls(account.account_id) if status == 429 else failure()
        used = self.quota.take(account.account_id, write=write)
        if used is None:
            raise too_many_calls(account.account_id)
        return quota.headers(account.account_id, used)

    def find(self, object_id: str, method: str) -> Account | Campaign:
        """The account or campaign of an id. Raises GraphError."""
        found = self.state.campaigns.get(object_id) or self.state.accounts.get(object_id)
        if found is None:
            raise unknown_object(object_id, method)
        return found

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

    def ad_set(self, campaign: Campaign, now: datetime, fields: tuple[str, ...]) -> dict[str, object]:
        """The campaign's one ad set."""
        status = self.state.standing(campaign, now).status
        node: dict[str, object] = {
            "id": campaign.ad_set_id,
            "campaign_id": campaign.campaign_id,
            "account_id": campaign.account.account_id.removeprefix("act_"),
            "name": f"{campaign.name} / Broad",
            "status": "ACTIVE",
            "effective_status": "ACTIVE" if status == "ACTIVE" else "CAMPAIGN_PAUSED",
            "learning_stage_info": self.state.learning(campaign, now),
        }
        return {name: node[name] for name in fields} | {"id": campaign.ad_set_id}

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
