"""Tables are restored without Faust's second of waiting for those that are declared late."""

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock

import pytest

from schemas.settings import KafkaSettings
from streams.faust_runner.app import build
from streams.faust_runner.safety.tables import PromptTableManager


@pytest.mark.parametrize("stopping", [False, True])
def test_restoring_begins_at_once_unless_the_worker_stops(stopping: bool) -> None:
    calls = MagicMock(should_stop=stopping, _update_channels=AsyncMock(), sleep=AsyncMock())
    calls.recovery.start = AsyncMock()
    asyncio.run(PromptTableManager.on_start(calls))
    begun = [name for name, *_ in calls.method_calls]
    assert begun == ([] if stopping else ["_update_channels", "recovery.start"])


def test_a_stage_knows_its_table_before_it_starts(tmp_path: Path) -> None:
    made = build("join", ["agent.decisions"], KafkaSettings(), tmp_path, "1", keyed=True)
    assert isinstance(made.app.tables, PromptTableManager)
    assert list(made.app.tables.values()) == [made.table]
