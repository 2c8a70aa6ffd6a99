"""The numbers of one request about the campaign, from its text and the tool results so far."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from local_stack.model import buckets
from local_stack.model.buckets import COLUMN, COLUMNS, NO_CONVERSIONS, NO_DELIVERY, Buckets
from local_stack.model.phrases import METRICS, STEPS, WINDOW_DAYS, WINDOWS
from local_stack.model.vocabulary import SHORT_WINDOWS, pointer_name, step_name

_WHOLE_UNIT_CURRENCIES = frozenset(
    ["CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND"]
)
"""Currencies that the Marketing API counts without hundredths."""
_PURCHASES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
_RISING = re.compile(r"\b(up|upward|rising|improv\w*|strong\w*|positive|grow\w*)\b", re.IGNORECASE)
_FALLING = re.compile(r"\b(down|downward|falling|declin\w*|weak\w*|negative|worsen\w*)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a window: money in major units, conversions as a count."""

    spend: float
    conversions: float
    revenue: float | None

    def __add__(self, other: "Totals") -> "Totals":
        revenue = None if self.revenue is None or other.revenue is None else self.revenue + other.revenue
        return Totals(self.spend + other.spend, self.conversions + other.conversions, revenue)


@dataclass(slots=True)
class Facts:
    """Known figures of the campaign; grows with every tool result. Money in major units."""

    campaign_id: str = ""
    account_id: str = ""
    day: date | None = None
    currency: str = "USD"
    cpa_target: float | None = None
    roas_target: float | None = None
    daily_budget: int | None = None
    """Minor units."""
    asked_budget: int | None = None
    """Minor units: the budget that a bare question asks for."""
    noted_budget: int | None = None
    """Minor units: the budget that a steering note names."""
    phase: str | None = None
    status: str | None = None
    view: str | None = None
    campaign_known: bool = False
    windows: dict[str, Totals] = field(default_factory=dict)

    @property
    def minor_units(self) -> int:
        """Minor units in a major unit of the currency."""
        return 1 if self.currency in _WHOLE_UNIT_CURRENCIES else 100

    def number(self, metric: str, window: str) -> float | None:
        """The value of a metric over a window as shown, rounded; None if it has none."""
        totals = self.windows.get(window)
        if totals is None:
            return None
        match metric:
            case "spend":
                return round(totals.spend, 2)
            case "conversions":
                return float(totals.conversions)
            case "cpa":
                return round(totals.spend / totals.conversions, 2) if totals.conversions > 0 else None
            case "roas":
                known = totals.revenue is not None and totals.spend > 0
                return round((totals.revenue or 0.0) / totals.spend, 2) if known else None
            case _:
                share = self._pace(window)
                return None if share is None else round(share, 2)

    def _pace(self, window: str) -> float | None:
        if not self.daily_budget:
            return None
        budget = self.daily_budget / self.minor_units * WINDOW_DAYS[window]
        return self.windows[window].spend / budget

    def money(self, amount: float) -> str:
        """An amount in major units with its currency."""
        return f"{amount:.{0 if self.minor_units == 1 else 2}f} {self.currency}"

    def surfaces(self) -> dict[str, str]:
        """How each number that the request has is written in a rationale, by the token's name."""
        found: dict[str, str] = {}
        for metric in METRICS:
            for window in WINDOWS:
                value = self.number(metric, window)
                if value is not None:
                    name = metric.upper() if metric in ("cpa", "roas") else metric
                    when = window if window == "yesterday" else f"over the last {WINDOW_DAYS[window]} days"
                    found[pointer_name(metric, window)] = f"{name} {when} at {self._shown(metric, value)}"
        if self.cpa_target is not None:
            found["cpa_target"] = f"the CPA target of {self.money(self.cpa_target)}"
        if self.roas_target is not None:
            found["roas_target"] = f"the ROAS target of {self.roas_target:.2f}"
        if self.daily_budget is not None:
            found["budget_now"] = f"the daily budget of {self.money(self.daily_budget / self.minor_units)}"
        return found

    def _shown(self, metric: str, value: float) -> str:
        if metric in ("cpa", "spend"):
            return self.money(value)
        return f"{value:g}" if metric == "conversions" else f"{value:.2f}"

    def steps(self) -> dict[str, int]:
        """The new daily budget of each step that can be told apart, minor units, by the token's name."""
        found: dict[str, int] = {}
        if self.asked_budget is not None:
            found["step_asked"] = self.asked_budget
        if self.daily_budget is not None:
            for percent in STEPS:
                budget = round(self.daily_budget * (100 + percent) / 100)
                if budget not in found.values() and budget != self.daily_budget:
                    found[step_name(percent)] = budget
        return found

    def columns(self) -> Buckets:
        """The context columns, in the order of `COLUMNS`."""
        found = np.zeros(len(COLUMNS), np.int16)
        for window, totals in self.windows.items():
            short = SHORT_WINDOWS[window]
            found[COLUMN["known"]] |= buckets.KNOWN_WINDOW[short]
            found[COLUMN[f"cpa_{short}"]] = self._cpa_bucket(totals)
            found[COLUMN[f"roas_{short}"]] = self._roas_bucket(totals)
            if short != "3d":
                found[COLUMN[f"conversions_{short}"]] = buckets.sample(totals.conversions, short)
                share = self._pace(window)
                found[COLUMN[f"pace_{short}"]] = 0 if share is None else buckets.pace(share)
        found[COLUMN["known"]] |= buckets.KNOWN_CAMPAIGN if self.campaign_known else 0
        found[COLUMN["phase"]] = buckets.PHASES.get(self.phase or "", 0)
        found[COLUMN["status"]] = buckets.STATUSES.get(self.status or "", 0)
        found[COLUMN["view"]] = buckets.VIEWS.get(self.view or "", 0)
        found[COLUMN["asked"]] = self._asked_bucket()
        return found

    def _asked_bucket(self) -> int:
        """1 and up: the step that comes nearest to the budget of the note."""
        if self.noted_budget is None or not self.daily_budget:
            return 0
        percent = 100 * (self.noted_budget / self.daily_budget - 1)
        return 1 + min(range(len(STEPS)), key=lambda place: abs(STEPS[place] - percent))

    def _cpa_bucket(self, totals: Totals) -> int:
        if not self.cpa_target:
            return 0
        if totals.spend <= 0:
            return NO_DELIVERY
        if totals.conversions <= 0:
            return NO_CONVERSIONS
        return int(buckets.level(totals.spend / totals.conversions, self.cpa_target))

    def _roas_bucket(self, totals: Totals) -> int:
        if not self.roas_target or totals.revenue is None:
            return 0
        if totals.spend <= 0:
            return NO_DELIVERY
        return int(buckets.level(totals.revenue / totals.spend, self.roas_target))

    def read_request(self, request: Mapping[str, Any], day: date | None) -> None:
        """Process the JSON object of the request's text."""
        self.campaign_id = str(request.get("campaign_id") or self.campaign_id)
        self.account_id = str(request.get("account_id") or self.account_id)
        self.currency = str(request.get("currency") or self.currency)
        self.day = _date(request.get("date")) or day
        target, budget = _number(request.get("target_cpa_minor")), _number(request.get("daily_budget"))
        self.cpa_target = target / self.minor_units if target else None
        self.roas_target = _number(request.get("target_roas")) or None
        self.daily_budget = int(budget) if budget else self.daily_budget

    def read_insights(self, arguments: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """Process the rows of a `get_insights` answer about the whole campaign."""
        rows = response.get("data")
        if arguments.get("level"):
            return
        if not isinstance(rows, list) or not _about(arguments.get("entity_id"), self.campaign_id):
            return
        found = [row for row in rows if isinstance(row, dict)]
        preset = str(arguments.get("date_preset", ""))
        if str(arguments.get("time_increment", "")) != "1" or preset == "yesterday":
            if preset in WINDOW_DAYS:
                self.windows[preset] = sum(map(_totals, found), Totals(0.0, 0.0, 0.0))
            return
        last = self.day - timedelta(days=1) if self.day else _latest(found)
        for window, days in WINDOW_DAYS.items():
            if preset in WINDOW_DAYS and days <= WINDOW_DAYS[preset] and last is not None:
                first = last - timedelta(days=days - 1)
                inside = [row for row in found if first <= (_date(row.get("date_start")) or first) <= last]
                self.windows[window] = sum(map(_totals, inside), Totals(0.0, 0.0, 0.0))

    def read_campaign(self, response: Mapping[str, Any]) -> None:
        """Process a `get_campaign` answer."""
        campaign = response.get("data", response)
        if not isinstance(campaign, dict) or "error" in campaign:
            return
        self.campaign_known = True
        budget = _number(campaign.get("daily_budget"))
        self.daily_budget = int(budget) if budget else self.daily_budget
        self.status = str(campaign.get("status") or "") or None
        stage = campaign.get("learning_stage_info")
        self.phase = str(stage.get("status")) if isinstance(stage, dict) else "SUCCESS"

    def read_view(self, response: Mapping[str, Any]) -> None:
        """Process an analyst's answer: the trend that it names, or the words for one in its text."""
        if response.get("trend") in buckets.VIEWS:
            self.view = str(response["trend"])
            return
        text = str(response.get("view", ""))
        rising, falling = len(_RISING.findall(text)), len(_FALLING.findall(text))
        if text:
            self.view = "up" if rising > falling else "down" if falling > rising else "flat"


def _about(entity: object, campaign_id: str) -> bool:
    return entity is None or not campaign_id or str(entity) == campaign_id


def _latest(rows: list[dict[str, Any]]) -> date | None:
    return max((day for row in rows if (day := _date(row.get("date_start")))), default=None)


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _first_of(actions: object) -> float | None:
    """The value of the first kind of purchase in a list of Meta's action stats."""
    if not isinstance(actions, list):
        return None
    values = {
        action.get("action_type"): _number(action.get("value"))
        for action in actions
        if isinstance(action, dict)
    }
    return next((values[kind] for kind in _PURCHASES if values.get(kind) is not None), None)


def _totals(row: Mapping[str, Any]) -> Totals:
    spend = _number(row.get("spend")) or 0.0
    conversions = _first_of(row.get("actions")) or 0.0
    revenue = _first_of(row.get("action_values"))
    if revenue is None:
        returned = _first_of(row.get("purchase_roas"))
        # a row without purchases has no return on spend either: that is a zero, not a gap
        revenue = spend * returned if returned is not None else 0.0 if conversions == 0 else None
    return Totals(spend, conversions, revenue)
