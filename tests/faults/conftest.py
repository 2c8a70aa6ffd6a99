"""A real broker for the fault tests: that of this test process, or `SOAK_BOOTSTRAP`, which runs already."""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testkit.faust.harness import Bed


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """host:port of a broker."""
    bootstrap: str = os.environ.get("SOAK_BOOTSTRAP") or request.getfixturevalue("broker").bootstrap
    return bootstrap


_numbers = itertools.count()


@pytest.fixture
def make_bed(bootstrap: str, tmp_path: Path) -> Callable[..., Bed]:
    """Makes a stage of its own with its topics."""

    def make(partitions: int = 4, **counts: int) -> Bed:
        name = f"f{os.getpid()}x{next(_numbers)}x{time.time_ns() % 10**9}"
        bed = Bed(bootstrap, name, tmp_path / name, partitions)
        bed.make_topics(**counts)
        return bed

    return make
