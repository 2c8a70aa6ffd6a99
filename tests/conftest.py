"""What all tests share: a clean environment, and one running stack for those that need it."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from xdist.scheduler import LoadFileScheduling

from local_stack.kafka import Broker
from local_stack.supervise import MARK
from testkit.running_stack import RunningStack, running_broker, running_stack

KEPT = {"OPOI_JAVA", "OPOI_CACHE", "OPOI_MAVEN_URL"}
"""Variables of the user that only say where downloads are."""


SHARING = {
    "tests/broker/test_artifact_store.py",
    "tests/broker/test_broadcast_topics.py",
    "tests/broker/test_deploy.py",
    "tests/broker/test_interop.py",
    "tests/broker/test_sink.py",
    "tests/e2e/test_stack.py",
}
"""Files whose tests need the stack: one process of a parallel run takes them all, as each starts its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for the stack is marked `stack`; its file must be among those that share one."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
            if (file := item.nodeid.partition("::")[0]) not in SHARING:
                raise pytest.UsageError(
                    f"{file} uses the fixture stack: add it to SHARING in tests/conftest.py"
                )


class _Together(LoadFileScheduling):
    """A file stays in one process, those that share the stack stay in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "stack" if file in SHARING else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Together:
    """How a parallel run shares its tests out."""
    return _Together(config, log)


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


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker alone; who stops it starts it again."""
    with running_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    """A run that is asked to end does so as at Ctrl-C, with its clean-up."""
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """An interrupted run leaves no processes: of those that began below its folder, the rest is killed."""
    factory = getattr(config, "_tmp_path_factory", None)
    if hasattr(config, "workerinput") or factory is None:
        return
    below = f"{factory.getbasetemp()}{os.sep}"
    for process in psutil.process_iter():
        try:
            environment, words = process.environ(), process.cmdline()
            places = [*(environment.get(name, "") for name in (MARK, "OPOI_HOME")), *words]
            if any(below in place for place in places):
                process.kill()
        except (psutil.Error, OSError):
            continue  # another user's process, or one that just ended
