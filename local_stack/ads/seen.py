"""A day as reports show it at some instant, whole or split by ad and audience."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from local_stack.ads.structure import (
    BREAKDOWNS,
    FIRST_DAY_SHARE,
    VIEW_SHARE,
    Ad,
    ad_shares,
    ads_of,
    apportion,
    audience,
    bought_by,
    place,
    traits,
)
from local_stack.ads.world import Campaign, Delivery

Cell = tuple[Ad, tuple[str, ...]]
"""An ad, and one value of each breakdown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A day (or a sum of days) as it is reported at some instant; money in minor units.

    Purchases and value are by the account's attribution setting; those of one day after the click and of one
    day after a view are parts of them, known if the day was split.
    """

    spend: int = 0
    impressions: int = 0
    clicks: int = 0
    purchases: int = 0
    value: int = 0
    first_day_purchases: int = 0
    first_day_value: int = 0
    view_purchases: int = 0
    view_value: int = 0

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            self.spend + other.spend,
            self.impressions + other.impressions,
            self.clicks + other.clicks,
            self.purchases + other.purchases,
            self.value + other.value,
            self.first_day_purchases + other.first_day_purchases,
            self.first_day_value + other.first_day_value,
            self.view_purchases + other.view_purchases,
            self.view_value + other.view_value,
        )


def _delivered(delivery: Delivery, start: datetime, end: datetime, as_of: datetime) -> tuple[int, int, int]:
    elapsed = min(1.0, (as_of - start) / (end - start))
    return (
        round(delivery.spend * elapsed),
        round(delivery.impressions * elapsed),
        round(delivery.clicks * elapsed),
    )


def whole(delivery: Delivery, start: datetime, end: datetime, as_of: datetime) -> Seen:
    """The day from `start` to `end` as it is reported at `as_of`."""
    age = (as_of - start) / timedelta(days=1)
    values = [p.value for p in delivery.purchases if p.shows <= age < p.leaves]
    return Seen(*_delivered(delivery, start, end, as_of), purchases=len(values), value=sum(values))


def cells(
    seed: int,
    campaign: Campaign,
    day: date,
    delivery: Delivery,
    times: tuple[datetime, datetime, datetime],
    breakdowns: tuple[str, ...],
) -> dict[Cell, Seen]:
    """The same, by ad and by the values of `breakdowns`; `times` are start, end and the report's instant."""
    start, end, as_of = times
    ads = ads_of(seed, campaign)
    spent, bought = ad_shares(seed, campaign, day)
    values, shares = audience(breakdowns)
    found: dict[Cell, list[int]] = {(ad, value): [0] * 9 for ad in ads for value in values}
    for figure, total in enumerate(_delivered(delivery, start, end, as_of)):
        for ad, own in zip(ads, apportion(total, spent), strict=True):
            for value, part in zip(values, apportion(own, shares), strict=True):
                found[ad, value][figure] = part
    age = (as_of - start) / timedelta(days=1)
    drawn = traits(seed, campaign, day, len(delivery.purchases))
    names = list(BREAKDOWNS)
    for purchase, numbers in zip(delivery.purchases, drawn, strict=True):
        if not purchase.shows <= age < purchase.leaves:
            continue
        who = tuple(bought_by(name, float(numbers[2 + names.index(name)])) for name in breakdowns)
        cell = found[ads[place(bought, float(numbers[0]))], who]
        cell[3] += 1
        cell[4] += purchase.value
        window = float(numbers[1])
        if window < VIEW_SHARE:
            cell[7] += 1
            cell[8] += purchase.value
        elif window < VIEW_SHARE + (1 - VIEW_SHARE) * FIRST_DAY_SHARE:
            cell[5] += 1
            cell[6] += purchase.value
    return {cell: Seen(*figures) for cell, figures in found.items()}
