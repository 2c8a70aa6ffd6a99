"""The campaigns that pre-training tells of: what a week, three days and yesterday look like in buckets.

Only the spread of such figures matters here; no campaign of the local ads platform and no expert is known.
"""

from dataclasses import dataclass

import numpy as np

from local_stack.model import buckets
from local_stack.model.buckets import COLUMN, COLUMNS, LEVELS, NO_CONVERSIONS, ON_TARGET, Buckets

WINDOWS = ("1d", "3d", "7d")


@dataclass(frozen=True, slots=True)
class Scene:
    """One campaign on one day: every column as it is when all tools have answered."""

    columns: Buckets

    def ratio(self, metric: str, window: str) -> int:
        """The bucket of `cpa` or `roas` over the short-named window."""
        return int(self.columns[COLUMN[f"{metric}_{window}"]])

    def score(self, metrics: tuple[str, ...], window: str) -> float:
        """How good the cited metrics are over the window, from -4 to 4."""
        scores = []
        for metric in metrics:
            bucket = min(self.ratio(metric, window), LEVELS)
            scores.append(ON_TARGET - bucket if metric == "cpa" else bucket - ON_TARGET)
        return sum(scores) / len(scores)

    def seen(self, windows: tuple[str, ...], campaign: bool, view: bool, asked: int = 0) -> Buckets:
        """The columns as far as the tools have been called; `asked` is the bucket of the note's step."""
        found = np.zeros(len(COLUMNS), np.int16)
        for window in windows:
            found[COLUMN["known"]] |= buckets.KNOWN_WINDOW[window]
            for metric in ("cpa", "roas", "conversions", "pace"):
                name = f"{metric}_{window}"
                if name in COLUMN and (metric != "pace" or campaign):
                    found[COLUMN[name]] = self.columns[COLUMN[name]]
        if campaign:
            found[COLUMN["known"]] |= buckets.KNOWN_CAMPAIGN
            for name in ("phase", "status"):
                found[COLUMN[name]] = self.columns[COLUMN[name]]
            found[COLUMN["asked"]] = asked
        if view:
            found[COLUMN["view"]] = self.columns[COLUMN["view"]]
        return found


def draw_scenes(count: int, random: np.random.Generator) -> list[Scene]:
    """Scenes whose windows agree in part: yesterday moves more than the week."""
    columns = np.zeros((count, len(COLUMNS)), np.int16)
    week = random.normal(0.0, 0.34, count)
    shock = np.where(random.random(count) < 0.3, 0.65, 0.28)  # now and then a day breaks with its week
    day = 0.7 * week + shock * random.normal(0.0, 1.0, count)
    three = 0.5 * week + 0.4 * day + random.normal(0.0, 0.12, count)
    daily = np.exp(random.normal(2.8, 0.7, count))
    for window, quality, days in (("1d", day, 1), ("3d", three, 3), ("7d", week, 7)):
        conversions = random.poisson(daily * days)
        ratio = np.exp(-quality + random.normal(0.0, 0.08, count))
        none = conversions == 0
        columns[:, COLUMN[f"cpa_{window}"]] = np.where(none, NO_CONVERSIONS, buckets.level(ratio, 1.0))
        returned = np.exp(quality + random.normal(0.0, 0.08, count))
        columns[:, COLUMN[f"roas_{window}"]] = np.where(none, 1, buckets.level(returned, 1.0))
        if window != "3d":
            columns[:, COLUMN[f"conversions_{window}"]] = buckets.sample(conversions, window)
            columns[:, COLUMN[f"pace_{window}"]] = buckets.pace(random.normal(0.95, 0.12, count))
    columns[:, COLUMN["phase"]] = random.choice([1, 2, 3], count, p=[0.15, 0.8, 0.05])
    columns[:, COLUMN["status"]] = np.where(random.random(count) < 0.08, 2, 1)
    trend = day - week + random.normal(0.0, 0.1, count)
    columns[:, COLUMN["view"]] = np.select([trend > 0.12, trend < -0.12], [1, 3], 2)
    return [Scene(row) for row in columns]
