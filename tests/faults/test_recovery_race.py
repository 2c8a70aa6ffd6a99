"""A worker that restarts onto a backlog skips nothing. The long form: `python -m bench.faust_recovery`.

`SOAK_PLAIN=1` runs it on Faust as it is shipped, where it fails on a machine that is not too busy.
"""

import os
from pathlib import Path

import pytest

from testkit.faust.recovery import soak

pytestmark = pytest.mark.faults
SEEDS = [int(seed) for seed in os.environ.get("SOAK_SEEDS", "11").split(",")]
RESTARTS = int(os.environ.get("SOAK_EVENTS", "3"))
PLAIN = os.environ.get("SOAK_PLAIN") == "1"


@pytest.mark.timeout(60 + 60 * RESTARTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_over_restarts(bootstrap: str, tmp_path: Path, seed: int) -> None:
    result = soak(bootstrap, tmp_path, seed, restarts=RESTARTS, burst=100, plain=PLAIN)
    assert result.drained, result.row()
    assert result.report.lost == []
    assert result.report.unpaired == 0
    assert result.report.stale == 0
    assert result.report.dead == 0
