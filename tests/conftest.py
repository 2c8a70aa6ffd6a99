"""What all tests share: a clean environment, and one running stack for those that need it."""

import os
from collections.abc import Iterator

import pytest

from tests.running_stack import RunningStack, running_stack

KEPT = {"OPOI_JAVA", "OPOI_CACHE", "OPOI_MAVEN_URL"}
"""Variables of the user that only say where downloads are."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask for the stack share one in parallel runs, too; of others a file stays together."""
    for item in items:
        needs_stack = "stack" in getattr(item, "fixturenames", ())
        if needs_stack:
            item.add_marker(pytest.mark.stack)
        item.add_marker(pytest.mark.xdist_group("stack" if needs_stack else item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user() -> Iterator[None]:
    """Tests must not reach what the user's own settings lead to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith("OPOI_") and name.upper() not in KEPT:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Kafka, registry, ClickHouse, model and ads platform, started once for all tests; no workers."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
