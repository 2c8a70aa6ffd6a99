"""The order in which sources run again after a table was restored."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from streams.faust_runner.safety import recovery
from streams.faust_runner.safety.patches import Patch

SOURCES = {TP("left", 0), TP("left", 1)}
CHANGELOG = TP("changelog", 0)


def fake_recovery(calls: list[str], generation: int = 7) -> Any:
    """A Recovery that notes what is done to the sources."""
    fake = MagicMock()
    fake.app.consumer_generation_id = generation
    fake.app.on_rebalance_complete.send = AsyncMock()
    fake.app._fetcher.maybe_start = AsyncMock(side_effect=lambda: calls.append("fetch"))
    fake.tables.values.return_value = []
    fake._is_changelog_tp = lambda tp: tp.topic == "changelog"
    consumer = fake.app.consumer
    consumer.assignment.return_value = {*SOURCES, CHANGELOG}

    async def perform_seek() -> None:
        # what is delivered while the seek is under way is what gets lost
        await asyncio.sleep(0)
        calls.append("sought")

    async def wait(coroutine: Any, timeout: float) -> None:
        await coroutine

    async def seek_to_beginning(*tps: TP) -> None:
        # aiokafka takes nothing else
        assert all(isinstance(tp, TopicPartition) for tp in tps)
        calls.append(f"start of {sorted(tp.partition for tp in tps)}")

    consumer.perform_seek = perform_seek
    consumer._committed_offset = {TP("left", 0): 5, TP("left", 1): None}
    consumer._thread.seek_to_beginning = seek_to_beginning
    fake._wait = wait
    consumer.resume_partitions.side_effect = lambda tps: calls.append("run" if set(tps) == SOURCES else "?")
    fake.app.flow_control.resume.side_effect = lambda: calls.append("cleared")
    return fake


@pytest.mark.parametrize("patch", recovery.PATCHES, ids=lambda patch: patch.method)
def test_sources_run_only_after_seek_and_clearing(patch: Patch) -> None:
    calls: list[str] = []
    asyncio.run(patch.replacement(fake_recovery(calls), 7))
    assert calls == ["sought", "start of [1]", "cleared", "run", "fetch"]


@pytest.mark.parametrize("patch", recovery.PATCHES, ids=lambda patch: patch.method)
def test_faust_as_shipped_lets_them_run_first(patch: Patch) -> None:
    calls: list[str] = []
    asyncio.run(patch.original(fake_recovery(calls), 7))
    assert calls.index("run") < calls.index("sought") < calls.index("cleared")


@pytest.mark.parametrize("patch", recovery.PATCHES, ids=lambda patch: patch.method)
def test_a_newer_rebalance_ends_it(patch: Patch) -> None:
    calls: list[str] = []
    fake = fake_recovery(calls, generation=8)
    asyncio.run(patch.replacement(fake, 7))
    assert calls == []
    fake.app.on_rebalance_end.assert_not_called()
