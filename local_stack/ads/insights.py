"""Insights rows in Meta's shapes: strings in major units, action lists, dates of the account's calendar."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from local_stack.ads.errors import invalid_parameter, too_much_data
from local_stack.ads.insight_parameters import (
    attribution_windows,
    breakdowns_in,
    parse_fields,
    parse_range,
    spans,
)
from local_stack.ads.seen import Seen
from local_stack.ads.state import State
from local_stack.ads.structure import BREAKDOWNS, Ad, AdSet
from local_stack.ads.world import Account, Campaign

Entity = Account | Campaign | AdSet | Ad

DEFAULT_FIELDS = ("account_id", "campaign_id", "impressions", "spend")
ATTRIBUTION_WINDOWS = ("7d_click", "1d_view")
LEVELS = ("account", "campaign", "adset", "ad")
MAXIMUM_ROWS = 5000
REACH_BREAKDOWN_DAYS = 394
"""Reach by breakdown goes back thirteen months."""
PARAMETERS = {
    "access_token", "appsecret_proof", "fields", "date_preset", "time_range", "time_increment", "level",
    "limit", "after", "breakdowns", "action_attribution_windows", "use_unified_attribution_setting",
    "use_account_attribution_setting",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """The object of one row: an ad, an ad set, a campaign, or an account."""

    account: Account
    campaigns: tuple[Campaign, ...]
    campaign: Campaign | None = None
    ad_set: AdSet | None = None
    ad: Ad | None = None

    @property
    def level(self) -> str:
        """The level of the row."""
        if self.ad is not None:
            return "ad"
        if self.ad_set is not None:
            return "adset"
        return "account" if self.campaign is None else "campaign"

    def holds(self, ad: Ad) -> bool:
        """Whether the ad's figures are a part of the row's."""
        return self.ad in (None, ad) and self.ad_set in (None, ad.ad_set)


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one row, before they are written out."""

    group: Group
    first: date
    last: date
    seen: Seen
    windows: tuple[str, ...] = ()
    who: Mapping[str, str] = field(default_factory=dict)


def group_of(state: State, entity: Entity) -> Group:
    """The row of `entity` itself."""
    match entity:
        case Ad():
            campaign = entity.ad_set.campaign
            return Group(campaign.account, (campaign,), campaign, entity.ad_set, entity)
        case AdSet():
            return Group(entity.campaign.account, (entity.campaign,), entity.campaign, entity)
        case Campaign():
            return Group(entity.account, (entity,), entity)
        case _:
            return Group(entity, tuple(c for c in state.world.campaigns if c.account == entity))


def _major(minor: float) -> str:
    return f"{minor / 100:.2f}"


def _ratio(numerator: float, denominator: float, digits: int = 6) -> str | None:
    return f"{numerator / denominator:.{digits}f}" if denominator else None


def _by_window(row: Row, purchases: bool) -> dict[str, int]:
    seen = row.seen
    first_day, views, total = (
        (seen.first_day_purchases, seen.view_purchases, seen.purchases)
        if purchases
        else (seen.first_day_value, seen.view_value, seen.value)
    )
    return {"1d_click": first_day, "7d_click": total - views, "1d_view": views}


def _actions(row: Row) -> list[dict[str, str]]:
    clicks = {"1d_click": row.seen.clicks, "7d_click": row.seen.clicks, "1d_view": 0}
    bought = _by_window(row, purchases=True)
    counts = {
        "link_click": (row.seen.clicks, clicks),
        "purchase": (row.seen.purchases, bought),
        "omni_purchase": (row.seen.purchases, bought),
    }
    return [
        {"action_type": name, "value": str(count)}
        | {window: str(by_window[window]) for window in row.windows if by_window[window]}
        for name, (count, by_window) in counts.items()
        if count
    ]


def _action_values(row: Row) -> list[dict[str, str]]:
    worth = _by_window(row, purchases=False)
    by_window = {window: f"{worth[window] / 100:.6f}" for window in row.windows if worth[window]}
    return [entry | by_window for entry in _per_purchase("purchase", row.seen.value, 100)]


def _per_purchase(action_type: str, numerator: int, denominator: int) -> list[dict[str, str]]:
    value = _ratio(numerator, denominator)
    return [] if value is None or not numerator else [{"action_type": action_type, "value": value}]


def _reach(row: Row) -> int:
    """People reached: grows slower than impressions, so it never adds up over days."""
    days = (row.last - row.first).days + 1
    return round(row.seen.impressions / (1.08 + 0.22 * math.log1p(days)))


FIELDS: Mapping[str, Callable[[Row], object]] = {
    "account_id": lambda row: row.group.account.account_id.removeprefix("act_"),
    "account_name": lambda row: row.group.account.name,
    "account_currency": lambda row: row.group.account.currency,
    "campaign_id": lambda row: row.group.campaign.campaign_id if row.group.campaign else None,
    "campaign_name": lambda row: row.group.campaign.name if row.group.campaign else None,
    "adset_id": lambda row: row.group.ad_set.ad_set_id if row.group.ad_set else None,
    "adset_name": lambda row: row.group.ad_set.name if row.group.ad_set else None,
    "ad_id": lambda row: row.group.ad.ad_id if row.group.ad else None,
    "ad_name": lambda row: row.group.ad.name if row.group.ad else None,
    "attribution_setting": lambda row: "_".join(ATTRIBUTION_WINDOWS),
    "spend": lambda row: _major(row.seen.spend),
    "impressions": lambda row: str(row.seen.impressions),
    "reach": lambda row: str(_reach(row)),
    "frequency": lambda row: _ratio(row.seen.impressions, _reach(row)),
    "clicks": lambda row: str(row.seen.clicks),
    "inline_link_clicks": lambda row: str(row.seen.clicks),
    "ctr": lambda row: _ratio(100 * row.seen.clicks, row.seen.impressions),
    "cpc": lambda row: _ratio(row.seen.spend / 100, row.seen.clicks),
    "cpm": lambda row: _ratio(10 * row.seen.spend, row.seen.impressions),
    "actions": _actions,
    "action_values": _action_values,
    "cost_per_action_type": lambda row: _per_purchase("purchase", row.seen.spend, 100 * row.seen.purchases),
    "purchase_roas": lambda row: _per_purchase("omni_purchase", row.seen.value, row.seen.spend),
}


def rows(state: State, group: Group, parameters: Mapping[str, str], now: datetime) -> list[dict[str, object]]:
    """All rows of one insights request, unpaged. Raises GraphError."""
    unknown = sorted(set(parameters) - PARAMETERS)
    if unknown:
        raise invalid_parameter(f"the local platform does not simulate {', '.join(unknown)}")
    windows, breakdowns = attribution_windows(parameters), breakdowns_in(parameters)
    fields = parse_fields(parameters.get("fields"), (*FIELDS, "date_start", "date_stop"), DEFAULT_FIELDS)
    groups = _groups(state, group, parameters.get("level", group.level))
    today = group.account.local_day(now)
    first, last = parse_range(parameters, today)
    if breakdowns and {"reach", "frequency"} & set(fields) and (today - first).days > REACH_BREAKDOWN_DAYS:
        raise invalid_parameter("reach by breakdown is kept for 13 months")
    steps = list(spans(first, last, parameters.get("time_increment", "all_days")))
    audiences = math.prod(len(BREAKDOWNS[name]) for name in breakdowns)
    if len(steps) * len(groups) * audiences > MAXIMUM_ROWS:
        raise too_much_data()
    answer = []
    for one in groups:
        for start, stop in steps:
            for who, seen in _sums(state, one, (start, stop), now, breakdowns, bool(windows)).items():
                if seen.impressions:  # Meta has no row for a time without delivery
                    row = Row(one, start, stop, seen, windows, dict(zip(breakdowns, who, strict=True)))
                    answer.append(_written(row, fields))
    return answer


def _groups(state: State, group: Group, level: str) -> list[Group]:
    if level not in LEVELS or LEVELS.index(level) < LEVELS.index(group.level):
        raise invalid_parameter(
            f"level must be one of {', '.join(LEVELS)}, at {group.level} or below: {level!r}"
        )
    if level == group.level:
        return [group]
    if level == "campaign":
        return [group_of(state, campaign) for campaign in group.campaigns]
    ads = [ad for campaign in group.campaigns for ad in state.ads_of(campaign) if group.holds(ad)]
    if level == "ad":
        return [group_of(state, ad) for ad in ads]
    return [group_of(state, ad_set) for ad_set in dict.fromkeys(ad.ad_set for ad in ads)]


def _sums(
    state: State,
    group: Group,
    days: tuple[date, date],
    now: datetime,
    breakdowns: tuple[str, ...],
    windows: bool,
) -> dict[tuple[str, ...], Seen]:
    """The group's figures over the days, by the values of the breakdowns."""
    first, last = days
    calendar = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    found: dict[tuple[str, ...], Seen] = {}
    if group.ad_set is None and not breakdowns and not windows:
        total = Seen()
        for campaign in group.campaigns:
            for day in calendar:
                total += state.seen(campaign, day, now)
        return {(): total}
    for campaign in group.campaigns:
        for day in calendar:
            for (ad, who), seen in state.cells(campaign, day, now, breakdowns).items():
                if group.holds(ad):
                    found[who] = found.get(who, Seen()) + seen
    return found


def _written(row: Row, fields: tuple[str, ...]) -> dict[str, object]:
    written = {name: FIELDS[name](row) for name in fields if name in FIELDS}
    dates = {"date_start": row.first.isoformat(), "date_stop": row.last.isoformat()}
    return {name: value for name, value in written.items() if value not in (None, [])} | dates | dict(row.who)
