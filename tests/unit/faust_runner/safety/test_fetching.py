"""What a fetch hands out."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.faust_runner.safety import fetching
from streams.faust_runner.safety.patches import Patch

BY_NAME: dict[str, Patch] = {patch.method: patch for patch in fetching.PATCHES}
HERE, THERE = TP("left", 0), TP("left", 1)


class AiokafkaConsumer:
    """Hands out buffered records, reading "no partitions" as "all", as aiokafka does."""

    def __init__(self) -> None:
        self._closed = False
        self._fetcher = self
        self._fetch_task = SimpleNamespace(done=lambda: False)
        self._subscriptions = self
        self.buffered = {HERE: ["h"], THERE: ["t"]}
        self.pause: Any = None

    def fetch_context(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    async def fetched_records(self, partitions: Any, timeout: float, max_records: int) -> Any:
        if self.pause is not None:
            self.pause()
        return {tp: records for tp, records in self.buffered.items() if not partitions or tp in partitions}


def fetch(patched: bool, running: set[TP], pause: Any = None) -> Any:
    patch = BY_NAME["_fetch_records"]
    consumer = AiokafkaConsumer()
    consumer.pause = pause
    thread = SimpleNamespace(consumer=SimpleNamespace(flow_active=True))
    method = patch.replacement if patched else patch.original
    return asyncio.run(method(thread, consumer, running, timeout=1.0, max_records=10))


def test_running_partitions_are_handed_out() -> None:
    assert fetch(True, {HERE}) == {HERE: ["h"]}


def test_where_nothing_runs_nothing_is_handed_out() -> None:
    assert fetch(True, set()) == {}


def test_a_pause_during_the_fetch_does_not_open_the_other_partitions() -> None:
    running = {HERE}
    assert fetch(True, running, running.clear) == {HERE: ["h"]}


@pytest.mark.parametrize("early", [True, False], ids=["before", "during"])
def test_faust_as_shipped_hands_out_everything(early: bool) -> None:
    running = set() if early else {HERE}
    assert fetch(False, running, None if early else running.clear) == {HERE: ["h"], THERE: ["t"]}
