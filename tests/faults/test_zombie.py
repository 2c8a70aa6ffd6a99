"""A worker that lost its partitions while it stood still writes over nobody's state."""

from pathlib import Path

import pytest

from testkit.faust.zombie import scene

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_worker_that_stood_still_gives_its_events_up(bootstrap: str, tmp_path: Path) -> None:
    found = scene(bootstrap, tmp_path)
    assert (found.lost, found.unpaired, found.stale) == ([], 0, 0)
