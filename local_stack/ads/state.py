"""Changes of the world, and a campaign's settings at any instant.

A change has its simulated instant, so decisions about different days can be made in one run without seeing
each other's future.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from local_stack.ads.seen import Cell, Seen, cells, whole
from local_stack.ads.structure import Ad, AdSet, ads_of
from local_stack.ads.world import Campaign, Shift, World, deliver, planned_budget

Status = Literal["ACTIVE", "PAUSED"]
LEARNING_CONVERSIONS = 50
LEARNING_DAYS = 7
SIGNIFICANT_EDIT = 0.20
EDIT_MEMORY_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Standing:
    """A campaign's settings at an instant; the budget is daily, in minor units."""

    budget: int
    status: Status


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the campaign's settings from `at` on."""

    at: datetime
    standing: Standing


class State:
    """The world with its changes; safe to use from many threads."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.campaigns = {campaign.campaign_id: campaign for campaign in world.campaigns}
        self.accounts = {campaign.account.account_id: campaign.account for campaign in world.campaigns}
        self.ads = {ad.ad_id: ad for c in world.campaigns for ad in ads_of(world.seed, c)}
        self.ad_sets = {ad.ad_set.ad_set_id: ad.ad_set for ad in self.ads.values()}
        self._lock = threading.Lock()
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._shifts: tuple[Shift, ...] = ()

    def shift(self, shift: Shift) -> None:
        """Add a change of the world."""
        with self._lock:
            self._shifts = (*self._shifts, shift)

    def reset(self) -> None:
        """Forget every change and shift."""
        with self._lock:
            self._changes.clear()
            self._shifts = ()

    def write(
        self, campaign: Campaign, at: datetime, *, budget: int | None = None, status: Status | None = None
    ) -> None:
        """Change the campaign's budget, its status or both from `at` on."""
        with self._lock:
            before = self._standing(campaign, at)
            after = Standing(
                before.budget if budget is None else budget, before.status if status is None else status
            )
            changes = self._changes[campaign.campaign_id]
            changes.append(Change(at, after))
            changes.sort(key=lambda change: change.at)

    def changes(self, campaign: Campaign, since: datetime, until: datetime) -> list[Change]:
        """The writes in (since, until]."""
        with self._lock:
            return [c for c in self._changes.get(campaign.campaign_id, ()) if since < c.at <= until]

    def standing(self, campaign: Campaign, at: datetime) -> Standing:
        """The campaign's settings at `at`."""
        with self._lock:
            return self._standing(campaign, at)

    def _standing(self, campaign: Campaign, at: datetime) -> Standing:
        day = campaign.account.local_day(at)
        monday = day - timedelta(days=day.weekday())
        start = campaign.account.day_start(monday)
        standing = Standing(planned_budget(self.world.seed, campaign, monday), "ACTIVE")
        for change in self._changes.get(campaign.campaign_id, ()):
            if start <= change.at <= at:
                standing = change.standing
        return standing

    def paid_budget(self, campaign: Campaign, day: date, as_of: datetime) -> int:
        """The budget of `day`, weighted by the duration of each setting; the last one holds to its end."""
        start, end = campaign.account.day_start(day), campaign.account.day_start(day + timedelta(days=1))
        with self._lock:
            standing = self._standing(campaign, start)
            points = [(start, standing)]
            for change in self._changes.get(campaign.campaign_id, ()):
                if start < change.at <= min(end, as_of):
                    points.append((change.at, change.standing))
        points.append((end, points[-1][1]))
        length = (end - start).total_seconds()
        paid = sum(
            here.budget * (after - at).total_seconds() / length
            for (at, here), (after, _) in pairwise(points)
            if here.status == "ACTIVE"
        )
        return round(paid)

    def seen(self, campaign: Campaign, day: date, as_of: datetime) -> Seen:
        """`day` as it is reported at `as_of`: without later conversions, with later refunds."""
        start, end = campaign.account.day_start(day), campaign.account.day_start(day + timedelta(days=1))
        if as_of <= start:
            return Seen()
        budget = self.paid_budget(campaign, day, as_of)
        return whole(deliver(self.world.seed, self._shifts, campaign, day, budget), start, end, as_of)

    def cells(
        self, campaign: Campaign, day: date, as_of: datetime, breakdowns: tuple[str, ...] = ()
    ) -> dict[Cell, Seen]:
        """`day` as `seen` gives it, split by ad and by the values of `breakdowns`."""
        start, end = campaign.account.day_start(day), campaign.account.day_start(day + timedelta(days=1))
        if as_of <= start:
            return {}
        budget = self.paid_budget(campaign, day, as_of)
        return _cells(self.world.seed, self._shifts, campaign, day, budget, (start, end, as_of), breakdowns)

    def ad_sets_of(self, campaign: Campaign) -> tuple[AdSet, ...]:
        """The campaign's ad sets."""
        return tuple(dict.fromkeys(ad.ad_set for ad in self.ads_of(campaign)))

    def ads_of(self, campaign: Campaign) -> tuple[Ad, ...]:
        """The campaign's ads, ad set by ad set."""
        return ads_of(self.world.seed, campaign)

    def history(self, campaign: Campaign, since: datetime, until: datetime) -> list[tuple[Change, Standing]]:
        """Every change in (since, until] with the setting before it, the team's plan at the week's start
        included."""
        monday = campaign.account.local_day(until)
        monday -= timedelta(days=monday.weekday())
        points = [
            Change(start, self.standing(campaign, start))
            for weeks in range((until - since).days // 7 + 2)
            if since < (start := campaign.account.day_start(monday - timedelta(weeks=weeks))) <= until
        ]
        points += self.changes(campaign, since, until)
        points.sort(key=lambda change: change.at)
        found, before = [], self.standing(campaign, since)
        for change in points:
            if change.standing != before:
                found.append((change, before))
            before = change.standing
        return found

    def learning(self, campaign: Campaign, at: datetime) -> dict[str, object]:
        """Meta's `learning_stage_info`: fifty purchases on the days after a significant edit end it."""
        edited = self._last_significant_edit(campaign, at)
        day, purchases = campaign.account.local_day(edited) + timedelta(days=1), 0
        while day <= campaign.account.local_day(at) and purchases < LEARNING_CONVERSIONS:
            purchases += self.seen(campaign, day, at).purchases
            day += timedelta(days=1)
        if purchases >= LEARNING_CONVERSIONS:
            status = "SUCCESS"
        else:
            status = "LEARNING" if at - edited < timedelta(days=LEARNING_DAYS) else "FAIL"
        return {
            "status": status,
            "conversions": purchases,
            "last_sig_edit_ts": int(edited.timestamp()),
            "attribution_windows": ["7d_click", "1d_view"],
        }

    def _last_significant_edit(self, campaign: Campaign, at: datetime) -> datetime:
        """When the budget last moved by more than 20% or the status changed."""
        day = campaign.account.local_day(at)
        monday = day - timedelta(days=day.weekday())
        until = at
        for weeks in range(EDIT_MEMORY_WEEKS):
            start = campaign.account.day_start(monday - timedelta(weeks=weeks))
            just_before = start - timedelta(microseconds=1)
            points = [
                (just_before, self.standing(campaign, just_before)),
                (start, self.standing(campaign, start)),
            ]
            points += [(c.at, c.standing) for c in self.changes(campaign, start, until)]
            edits = [when for (_, a), (when, b) in pairwise(points) if _is_significant(a, b)]
            if edits:
                return edits[-1]
            until = just_before
        return campaign.account.day_start(campaign.created)


def _is_significant(before: Standing, after: Standing) -> bool:
    return (
        before.status != after.status or abs(after.budget - before.budget) > SIGNIFICANT_EDIT * before.budget
    )


@lru_cache(maxsize=2_000)
def _cells(
    seed: int,
    shifts: tuple[Shift, ...],
    campaign: Campaign,
    day: date,
    budget: int,
    times: tuple[datetime, datetime, datetime],
    breakdowns: tuple[str, ...],
) -> dict[Cell, Seen]:
    """A split day; ad sets, ads and attribution windows of one report need the same days."""
    return cells(seed, campaign, day, deliver(seed, shifts, campaign, day, budget), times, breakdowns)
