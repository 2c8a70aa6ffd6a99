"""How numbers become context columns: the only form in which the model sees a tool's results.

0 always means "not known": the tool has not been called, or gave no such number.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS: Final = (
    "cpa_1d", "cpa_3d", "cpa_7d", "roas_1d", "roas_3d", "roas_7d", "pace_1d", "pace_7d",
    "conversions_1d", "conversions_7d", "phase", "status", "view", "known",
)  # fmt: skip
COLUMN: Final = {name: number for number, name in enumerate(COLUMNS)}
LEVEL_EDGES: Final = np.array([-0.45, -0.22, -0.07, 0.07, 0.22, 0.45])
"""Edges of log(value / target); the buckets are 1 to 7."""
NO_CONVERSIONS: Final = 8
"""Bucket of a cost per action where money was spent and nothing came of it."""
NO_DELIVERY: Final = 9
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


def level(value: ArrayLike, target: ArrayLike) -> Buckets:
    """Bucket 1 to 7 of a positive value against its positive target."""
    with np.errstate(divide="ignore"):
        ratio = np.log(np.asarray(value, float) / np.asarray(target, float))
    return (np.digitize(ratio, LEVEL_EDGES) + 1).astype(np.int16)


def pace(share: ArrayLike) -> Buckets:
    """Bucket 1 to 5 of the share of the budget that was spent."""
    return (np.digitize(share, PACE_EDGES) + 1).astype(np.int16)


def sample(conversions: ArrayLike, window: str) -> Buckets:
    """Bucket 1 to 4 of how many conversions the short-named `window` has."""
    return (np.digitize(conversions, SAMPLE_EDGES[window]) + 1).astype(np.int16)
