"""Fixtures around the local ClickHouse front."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.engine.front_process import Front


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One front for a module of tests."""
    running = Front(tmp_path_factory.mktemp("clickhouse"))
    yield running
    running.end()


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    """A client of `front`."""
    with front.client() as connected:
        yield connected
