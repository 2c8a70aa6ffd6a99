"""Workers that come and go share the partitions and skip nothing. Long: `python -m bench.faust_rebalance`."""

import os
from pathlib import Path

import pytest

from testkit.faust.rebalance import soak

pytestmark = pytest.mark.faults
SEEDS = [int(seed) for seed in os.environ.get("SOAK_SEEDS", "22").split(",")]
EVENTS = int(os.environ.get("SOAK_EVENTS", "4"))


@pytest.mark.timeout(180 + 30 * EVENTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_over_rebalances(bootstrap: str, tmp_path: Path, seed: int) -> None:
    result = soak(bootstrap, tmp_path, seed, events=EVENTS, rate=50.0)
    assert result.drained, result.row()
    assert result.report.lost == []
    assert result.report.unpaired == 0
    assert result.report.stale == 0
    assert result.report.dead == 0
