"""How numbers become context columns: the only form in which the model sees a tool's results.

0 always means "not known": the tool has not been called, or gave no such number.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS: Final = (
    "cpa_1d", "cpa_3d", "cpa_7d", "roas_1d", "roas_3d", "roas_7d", "pace_1d", "pace_7d",
    "conversions_1d", "conversions_7d", "phase", "status", "view", "known", "asked",
)  # fmt: skip
COLUMN: Final = {name: number for number, name in enumerate(COLUMNS)}
LEVEL_EDGES: Final = np.array([0.50, 0.70, 0.85, 0.95, 1.05, 1.18, 1.40, 2.00])
"""Edges of value / target; the buckets are 1 to 9, and 5 is on target."""
ON_TARGET: Final = 5
LEVELS: Final = 9
NO_CONVERSIONS: Final = 10
"""Bucket of a cost per action where money was spent and nothing came of it."""
NO_DELIVERY: Final = 11
"""Bucket of a ratio where no money was spent."""
PACE_EDGES: Final = np.array([0.3, 0.7, 0.93, 1.03])
SAMPLE_EDGES: Final = {"1d": np.array([1, 8, 20]), "7d": np.array([1, 40, 120])}
"""Edges of the conversions in a window: none, thin, fair, solid."""
PHASES: Final = {"LEARNING": 1, "SUCCESS": 2, "FAIL": 3}
STATUSES: Final = {"ACTIVE": 1, "PAUSED": 2}
VIEWS: Final = {"up": 1, "flat": 2, "down": 3}
KNOWN_WINDOW: Final = {"1d": 1, "3d": 2, "7d": 4}
KNOWN_CAMPAIGN: Final = 8

Buckets = NDArray[np.int16]


def _bucket(value: ArrayLike, edges: NDArray[np.float64]) -> Buckets:
    return np.asarray(np.digitize(np.asarray(value, float), edges) + 1, np.int16)


def level(value: ArrayLike, target: ArrayLike) -> Buckets:
    """Bucket 1 to 9 of a value against its positive target."""
    return _bucket(np.asarray(value, float) / np.asarray(target, float), LEVEL_EDGES)


def pace(share: ArrayLike) -> Buckets:
    """Bucket 1 to 5 of the share of the budget that was spent."""
    return _bucket(share, PACE_EDGES)


def sample(conversions: ArrayLike, window: str) -> Buckets:
    """Bucket 1 to 4 of how many conversions the short-named `window` has."""
    return _bucket(conversions, SAMPLE_EDGES[window])
