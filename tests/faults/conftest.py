"""A real broker for the fault tests: `SOAK_BOOTSTRAP` names one that runs, else one is started."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.kafka import Broker
from local_stack.ports import free_port
from testkit.faust.harness import Bed


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a broker."""
    running = os.environ.get("SOAK_BOOTSTRAP")
    if running:
        yield running
        return
    with Broker(tmp_path_factory.mktemp("kafka"), free_port(), free_port()) as broker:
        yield broker.bootstrap


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
