"""The simulated world: accounts, campaigns, and the delivery of each day.

Everything here is a pure function of the seed, so that many threads can request any days in any order. The
agent's changes of budgets come from outside, as the day's paid-for budget.
Money is in integer minor units of the account's currency.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

MARKETS = (
    ("USD", "America/New_York", 1.0),
    ("USD", "America/Los_Angeles", 1.1),
    ("GBP", "Europe/London", 0.8),
    ("EUR", "Europe/Berlin", 0.9),
)
"""Currency, time zone and price level of the accounts' markets."""

TREND_MEMORY = 0.95
TREND_DAYS = 60
CONVERSION_TREND = 0.30
CONVERSION_DAY_SHOCK = 0.06
COMMON_DAY_SHOCK = 0.05
DIMINISHING_RETURNS = 0.35
SEEN_SAME_DAY = 0.86
REPORTING_DELAY_DAYS = 3.0
ATTRIBUTION_DAYS = 28
REFUND_SHARE = 0.03
PLAN_EDIT_SHARE = 0.12
PLAN_MEMORY_WEEKS = 26


@dataclass(frozen=True, slots=True)
class Account:
    """An ad account; `account_id` carries Meta's `act_` prefix."""

    account_id: str
    name: str
    currency: str
    time_zone: str

    def day_start(self, day: date) -> datetime:
        """The instant at which `day` begins for this account, UTC."""
        return datetime.combine(day, time(), ZoneInfo(self.time_zone)).astimezone(UTC)

    def local_day(self, instant: datetime) -> date:
        """The account's calendar day at `instant`."""
        return instant.astimezone(ZoneInfo(self.time_zone)).date()


@dataclass(frozen=True, slots=True)
class Campaign:
    """A sales campaign: what it is asked to reach, and the hidden figures that drive it."""

    campaign_id: str
    account: Account
    name: str
    created: date
    plan_budget: int
    target_cpa: int
    target_roas: float
    cost_per_mille: float
    click_rate: float
    conversion_rate: float
    order_value: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the world from `start` on: impressions cost `cost` times as much, purchases happen
    `conversion` times as often, in the accounts of `currency` (None: all)."""

    start: date
    cost: float = 1.0
    conversion: float = 1.0
    currency: str | None = None

    def applies(self, campaign: Campaign, day: date) -> bool:
        """Whether `day` of `campaign` is shifted."""
        return day >= self.start and self.currency in (None, campaign.account.currency)


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase: when it shows in reports and when it leaves them (refund), in days after the day's
    start; its value in minor units."""

    shows: float
    leaves: float
    value: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a whole day, after the last restatement."""

    spend: int
    impressions: int
    clicks: int
    purchases: tuple[Purchase, ...]


def generator(seed: int, *key: object) -> np.random.Generator:
    """A separate generator for `key`, so that no draw depends on the order of requests."""
    digest = hashlib.sha256("/".join(map(str, (seed, *key))).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


@lru_cache(maxsize=500_000)
def _normal(seed: int, *key: object) -> float:
    return float(generator(seed, *key).standard_normal())


@dataclass(frozen=True, slots=True)
class World:
    """All accounts and campaigns of one seed."""

    seed: int
    campaigns: tuple[Campaign, ...]

    @classmethod
    def make(cls, seed: int, *, accounts: int = 60, campaigns_per_account: int = 2) -> "World":
        """The world of `seed`."""
        return cls(
            seed,
            tuple(
                _campaign(seed, _account(seed, number), slot)
                for number in range(accounts)
                for slot in range(campaigns_per_account)
            ),
        )


def _account(seed: int, number: int) -> Account:
    currency, time_zone, _ = MARKETS[number % len(MARKETS)]
    tail = int(generator(seed, "account", number).integers(10**9))
    return Account(f"act_{100_000 + number}{tail:09d}", f"Account {number + 1}", currency, time_zone)


def _campaign(seed: int, account: Account, slot: int) -> Campaign:
    random = generator(seed, "campaign", account.account_id, slot)
    level = next(
        level
        for currency, zone, level in MARKETS
        if (currency, zone) == (account.currency, account.time_zone)
    )
    target_cpa = round(float(random.uniform(1200, 4500)) * level / 50) * 50
    order_value = target_cpa * float(random.uniform(1.8, 3.6))
    purchases_a_day = float(random.uniform(30, 90))
    cost_per_mille = float(random.uniform(600, 1500)) * level
    click_rate = float(random.uniform(0.010, 0.022))
    off_target = math.exp(0.15 * float(random.standard_normal()))
    return Campaign(
        campaign_id=f"{account.account_id[4:]}{slot + 1:02d}0",
        account=account,
        name=f"{account.name} / Sales {slot + 1}",
        created=date(2025, 12, 1) - timedelta(days=int(random.integers(10, 400))),
        plan_budget=round(purchases_a_day * target_cpa / 500) * 500,
        target_cpa=target_cpa,
        target_roas=round(order_value / target_cpa * math.exp(0.08 * float(random.standard_normal())), 2),
        cost_per_mille=cost_per_mille,
        click_rate=click_rate,
        conversion_rate=cost_per_mille / 1000 / click_rate / target_cpa * off_target,
        order_value=order_value,
    )


@lru_cache(maxsize=100_000)
def planned_budget(seed: int, campaign: Campaign, monday: date) -> int:
    """The daily budget that the account's own team sets at the start of the week of `monday`.

    The plan is kept from week to week but for an edit now and then; it also undoes what the agent changed
    in the week before, which keeps a long simulation from running away.
    """
    for weeks in range(PLAN_MEMORY_WEEKS):
        random = generator(seed, "plan", campaign.campaign_id, monday - timedelta(weeks=weeks))
        if random.random() < PLAN_EDIT_SHARE:
            return round(campaign.plan_budget * math.exp(0.25 * float(random.standard_normal())) / 100) * 100
    return campaign.plan_budget


@lru_cache(maxsize=100_000)
def is_promotion(seed: int, campaign: Campaign, day: date) -> bool:
    """Whether the shop runs a promotion on `day`: now and then, for three days."""
    return any(
        generator(seed, "promotion", campaign.account.account_id, day - timedelta(days=days)).random()
        < 1 / 40
        for days in range(3)
    )


def _log_conversion(seed: int, campaign: Campaign, day: date) -> float:
    """Log of the day's conversion rate over the campaign's own."""
    scale = CONVERSION_TREND * math.sqrt(1 - TREND_MEMORY**2)
    trend = scale * sum(
        TREND_MEMORY**lag
        * _normal(seed, "trend", campaign.campaign_id, (day - timedelta(days=lag)).toordinal())
        for lag in range(TREND_DAYS)
    )
    weekday = 0.07 * _normal(seed, "weekday", campaign.account.account_id, day.weekday())
    shock = CONVERSION_DAY_SHOCK * _normal(seed, "day", campaign.campaign_id, day.toordinal())
    common = COMMON_DAY_SHOCK * _normal(seed, "common", day.toordinal())
    return trend + weekday + shock + common + (0.35 if is_promotion(seed, campaign, day) else 0.0)


@lru_cache(maxsize=100_000)
def deliver(seed: int, shifts: tuple[Shift, ...], campaign: Campaign, day: date, budget: int) -> Delivery:
    """The delivery of `campaign` on `day` with a paid-for budget of `budget` minor units."""
    if budget <= 0 or day < campaign.created:
        return Delivery(0, 0, 0, ())
    random = generator(seed, "delivery", campaign.campaign_id, day)
    pace = min(1.12, max(0.3, float(random.normal(0.97, 0.05))))
    if random.random() < 0.05:
        pace *= float(random.uniform(0.4, 0.8))
    promotion = is_promotion(seed, campaign, day)
    price = campaign.cost_per_mille * math.exp(
        0.07 * float(random.standard_normal()) + (0.10 if promotion else 0.0)
    )
    conversion = campaign.conversion_rate * math.exp(_log_conversion(seed, campaign, day))
    conversion *= (budget / campaign.plan_budget) ** -DIMINISHING_RETURNS
    for shift in shifts:
        if shift.applies(campaign, day):
            price *= shift.cost
            conversion *= shift.conversion
    spend = round(budget * pace)
    impressions = max(1, round(spend / price * 1000))
    clicks = int(random.binomial(impressions, campaign.click_rate))
    count = int(random.poisson(clicks * conversion))
    return Delivery(spend, impressions, clicks, tuple(_purchase(random, campaign) for _ in range(count)))


def _purchase(random: np.random.Generator, campaign: Campaign) -> Purchase:
    happens, late, delay, refund, refund_delay = random.random(5)
    shows = float(happens)
    if late > SEEN_SAME_DAY:
        shows = min(1 - REPORTING_DELAY_DAYS * math.log(1 - float(delay)), float(ATTRIBUTION_DAYS))
    leaves = shows + 3 + 17 * float(refund_delay) if refund < REFUND_SHARE else math.inf
    value = round(campaign.order_value * math.exp(0.4 * float(random.standard_normal()) - 0.08))
    return Purchase(shows, leaves, value)
