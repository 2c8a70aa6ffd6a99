"""Insights rows in Meta's shapes: strings in major units, action lists, dates of the account's calendar."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce

from agent.local.ads.errors import invalid_parameter, too_much_data
from agent.local.ads.state import Seen, State
from agent.local.ads.world import Account, Campaign

PRESET_DAYS = {"yesterday": 1, "last_3d": 3, "last_7d": 7, "last_14d": 14, "last_28d": 28, "last_30d": 30}
DEFAULT_FIELDS = ("account_id", "campaign_id", "impressions", "spend")
ATTRIBUTION_WINDOWS = ("7d_click", "1d_view")
MAXIMUM_ROWS = 5000
PARAMETERS = {
    "access_token", "appsecret_proof", "fields", "date_preset", "time_range", "time_increment", "level",
    "limit", "after", "action_attribution_windows", "use_unified_attribution_setting",
    "use_account_attribution_setting",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """What one row is about: one campaign, or an account as a whole."""

    account: Account
    campaigns: tuple[Campaign, ...]
    campaign: Campaign | None


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one row, before they are written out."""

    group: Group
    first: date
    last: date
    seen: Seen


def _major(minor: float) -> str:
    return f"{minor / 100:.2f}"


def _ratio(numerator: float, denominator: float, digits: int = 6) -> str | None:
    return f"{numerator / denominator:.{digits}f}" if denominator else None


def _actions(row: Row) -> list[dict[str, str]]:
    counts = {
        "link_click": row.seen.clicks,
        "purchase": row.seen.purchases,
        "omni_purchase": row.seen.purchases,
    }
    return [{"action_type": name, "value": str(count)} for name, count in counts.items() if count]


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
    "action_values": lambda row: _per_purchase("purchase", row.seen.value, 100),
    "cost_per_action_type": lambda row: _per_purchase("purchase", row.seen.spend, 100 * row.seen.purchases),
    "purchase_roas": lambda row: _per_purchase("omni_purchase", row.seen.value, row.seen.spend),
}


def parse_fields(text: str | None, allowed: Iterable[str], default: tuple[str, ...]) -> tuple[str, ...]:
    """Field names of a request: comma separated or a JSON list. Raises GraphError for an unknown one."""
    if not text:
        return default
    names = (
        tuple(json.loads(text)) if text.startswith("[") else tuple(part.strip() for part in text.split(","))
    )
    allowed = set(allowed)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise invalid_parameter(
            f"{', '.join(unknown)} is not valid for fields param. Known here: {sorted(allowed)}"
        )
    return names


def parse_range(parameters: Mapping[str, str], today: date) -> tuple[date, date]:
    """First and last day asked for, in the account's calendar. Raises GraphError."""
    if "time_range" in parameters:
        try:
            window = json.loads(parameters["time_range"])
            first, last = date.fromisoformat(window["since"]), date.fromisoformat(window["until"])
        except (ValueError, KeyError, TypeError) as error:
            raise invalid_parameter(
                'Must be a JSON object {"since":"YYYY-MM-DD","until":"YYYY-MM-DD"}'
            ) from error
        if first > last:
            raise invalid_parameter(f"time_range: since {first} lies after until {last}")
        return first, last
    preset = parameters.get("date_preset", "last_30d")
    if preset == "today":
        return today, today
    if preset not in PRESET_DAYS:
        raise invalid_parameter(
            f"date_preset must be one of the following values: today, {', '.join(PRESET_DAYS)}"
        )
    return today - timedelta(days=PRESET_DAYS[preset]), today - timedelta(days=1)


def _steps(first: date, last: date, increment: str) -> Iterator[tuple[date, date]]:
    if increment == "all_days":
        yield first, last
        return
    if not re.fullmatch(r"[1-9]|[1-8]\d|90", increment):
        raise invalid_parameter(f"time_increment must be 1 to 90 or all_days, not {increment!r}")
    days = int(increment)
    while first <= last:
        yield first, min(last, first + timedelta(days=days - 1))
        first += timedelta(days=days)


def rows(state: State, group: Group, parameters: Mapping[str, str], now: datetime) -> list[dict[str, object]]:
    """All rows that one insights request asks for, unpaged. Raises GraphError."""
    unknown = sorted(set(parameters) - PARAMETERS)
    if unknown:
        raise invalid_parameter(f"the local platform does not simulate {', '.join(unknown)}")
    windows = json.loads(parameters.get("action_attribution_windows", json.dumps(ATTRIBUTION_WINDOWS)))
    if sorted(windows) != sorted(ATTRIBUTION_WINDOWS):
        raise invalid_parameter(
            f"the local platform has the windows {ATTRIBUTION_WINDOWS} only, not {windows}"
        )
    fields = parse_fields(parameters.get("fields"), (*FIELDS, "date_start", "date_stop"), DEFAULT_FIELDS)
    groups = _groups(group, parameters.get("level", "campaign" if group.campaign else "account"))
    first, last = parse_range(parameters, group.account.local_day(now))
    steps = list(_steps(first, last, parameters.get("time_increment", "all_days")))
    if len(steps) * len(groups) > MAXIMUM_ROWS:
        raise too_much_data()
    answer = []
    for one in groups:
        for start, stop in steps:
            row = Row(one, start, stop, _sum(state, one, start, stop, now))
            if row.seen.impressions:  # Meta has no row for a time without delivery
                answer.append(_written(row, fields))
    return answer


def _groups(group: Group, level: str) -> list[Group]:
    if level == "account" and group.campaign is None:
        return [group]
    if level == "campaign":
        return [Group(group.account, (campaign,), campaign) for campaign in group.campaigns]
    raise invalid_parameter(f"level {level!r} is not simulated here; use account or campaign")


def _sum(state: State, group: Group, first: date, last: date, now: datetime) -> Seen:
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return reduce(
        Seen.__add__, (state.seen(campaign, day, now) for campaign in group.campaigns for day in days), Seen()
    )


def _written(row: Row, fields: tuple[str, ...]) -> dict[str, object]:
    written = {name: FIELDS[name](row) for name in fields if name in FIELDS}
    dates = {"date_start": row.first.isoformat(), "date_stop": row.last.isoformat()}
    return {name: value for name, value in written.items() if value not in (None, [])} | dates
