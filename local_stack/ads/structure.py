"""Ad sets and ads below a campaign, and how a day's delivery spreads over them and over audiences.

The campaign's figures come first. This module only splits them, by seeded shares, so that the parts of every
level and breakdown add up to the campaign to the last cent and the last purchase.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from local_stack.ads.world import Campaign, generator

AUDIENCES = ("Broad", "Lookalike 1%", "Retargeting")
CREATIVES = ("Video", "Static")
AUDIENCE_SHARES = (0.60, 0.28, 0.12)
AUDIENCE_QUALITY = (0.92, 1.05, 1.30)
"""How often a click of the audience buys, against the campaign's mean."""
MIX_SPREAD = 0.15
VIEW_SHARE = 0.12
FIRST_DAY_SHARE = 0.78
"""Share of the purchases after a click that happen within a day of it."""

BREAKDOWNS: dict[str, tuple[tuple[str, float, float], ...]] = {
    "age": (
        ("18-24", 0.12, 0.75), ("25-34", 0.30, 1.05), ("35-44", 0.27, 1.10), ("45-54", 0.17, 1.05),
        ("55-64", 0.09, 0.95), ("65+", 0.05, 0.80),
    ),
    "gender": (("female", 0.55, 1.04), ("male", 0.42, 0.96), ("unknown", 0.03, 0.80)),
    "publisher_platform": (
        ("facebook", 0.52, 1.05), ("instagram", 0.40, 1.00), ("audience_network", 0.06, 0.70),
        ("messenger", 0.02, 0.60),
    ),
}  # fmt: skip
"""Values of each breakdown with their share of the spend and how often their clicks buy."""

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AdSet:
    """An ad set; the budget is its campaign's."""

    campaign: Campaign
    number: int

    @property
    def ad_set_id(self) -> str:
        """Follows the campaign's id."""
        return f"{int(self.campaign.campaign_id) + 1 + self.number}"

    @property
    def name(self) -> str:
        """Campaign and audience."""
        return f"{self.campaign.name} / {AUDIENCES[self.number]}"


@dataclass(frozen=True, slots=True)
class Ad:
    """An ad of an ad set."""

    ad_set: AdSet
    number: int

    @property
    def ad_id(self) -> str:
        """Follows the ids of all ad sets that a campaign can have."""
        place = len(AUDIENCES) + len(CREATIVES) * self.ad_set.number + self.number
        return f"{int(self.ad_set.campaign.campaign_id) + 1 + place}"

    @property
    def name(self) -> str:
        """Ad set and creative."""
        return f"{self.ad_set.name} / {CREATIVES[self.number]}"


@lru_cache(maxsize=10_000)
def ads_of(seed: int, campaign: Campaign) -> tuple[Ad, ...]:
    """The campaign's ads, by ad set: two or three ad sets with two ads each."""
    count = 2 + int(generator(seed, "ad sets", campaign.campaign_id).integers(2))
    return tuple(
        Ad(AdSet(campaign, ad_set), number) for ad_set in range(count) for number in range(len(CREATIVES))
    )


@lru_cache(maxsize=100_000)
def ad_shares(seed: int, campaign: Campaign, day: date) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Each ad's share of the day's spend, and of its purchases."""
    ads = ads_of(seed, campaign)
    lasting = generator(seed, "ad mix", campaign.campaign_id).standard_normal(len(ads))
    today = generator(seed, "ad mix", campaign.campaign_id, day).standard_normal(len(ads))
    spend = np.array([AUDIENCE_SHARES[ad.ad_set.number] for ad in ads]) * np.exp(
        2 * MIX_SPREAD * lasting + MIX_SPREAD * today
    )
    bought = spend * np.array([AUDIENCE_QUALITY[ad.ad_set.number] for ad in ads])
    return tuple(spend / spend.sum()), tuple(bought / bought.sum())


@lru_cache(maxsize=100_000)
def traits(seed: int, campaign: Campaign, day: date, count: int) -> Shares:
    """For each of the day's purchases a number in [0, 1) for its ad, its window and each breakdown."""
    drawn: Shares = generator(seed, "traits", campaign.campaign_id, day).random((count, 2 + len(BREAKDOWNS)))
    return drawn


def audience(names: Sequence[str]) -> tuple[list[tuple[str, ...]], list[float]]:
    """The values of several breakdowns together, and each one's share of the spend."""
    values: list[tuple[str, ...]] = [()]
    shares = [1.0]
    for name in names:
        values = [(*one, value) for one in values for value, _, _ in BREAKDOWNS[name]]
        shares = [share * part for share in shares for _, part, _ in BREAKDOWNS[name]]
    return values, shares


def bought_by(name: str, drawn: float) -> str:
    """The value of breakdown `name` that a purchase with this number belongs to."""
    known = BREAKDOWNS[name]
    mark = drawn * sum(share * quality for _, share, quality in known)
    for value, share, quality in known:
        mark -= share * quality
        if mark < 0:
            return value
    return known[-1][0]


def place(shares: Sequence[float], drawn: float) -> int:
    """The index that `drawn` in [0, 1) falls to."""
    for index, share in enumerate(shares):
        drawn -= share
        if drawn < 0:
            return index
    return len(shares) - 1


def apportion(total: int, shares: Sequence[float]) -> list[int]:
    """`total` in whole parts close to `shares`, which add up to it: the largest remainders get what is
    left."""
    exact = [total * share for share in shares]
    parts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts
