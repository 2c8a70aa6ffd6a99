"""What a fetch hands out."""

import asyncio
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError
from faust.types import TP

from streams.faust_runner.safety import fetching
from streams.faust_runner.safety.memory_bound import MEMORY
from streams.faust_runner.safety.patches import Patch
from streams.runtime.exit_codes import ExitCode

BY_NAME: dict[str, Patch] = {patch.method: patch for patch in fetching.PATCHES}
HERE, THERE = TP("left", 0), TP("left", 1)


class AiokafkaConsumer:
    """Hands out buffered records, reading "no partitions" as "all", as aiokafka does."""

    def __init__(self) -> None:
        self._closed = False
        self._fetcher = self
        self._fetch_task: Any = SimpleNamespace(done=lambda: False)
        self._subscriptions = self
        self.buffered = {HERE: ["h"], THERE: ["t"]}
        self._records = OrderedDict.fromkeys((HERE, THERE))
        self.timeouts: list[float] = []
        self.pause: Any = None

    def fetch_context(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    async def fetched_records(self, partitions: Any, timeout: float, max_records: int) -> Any:
        self.timeouts.append(timeout)
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


def fetch_from(consumer: AiokafkaConsumer) -> Any:
    thread = SimpleNamespace(consumer=SimpleNamespace(flow_active=True))
    method = BY_NAME["_fetch_records"].replacement
    return asyncio.run(method(thread, consumer, {HERE}, timeout=1.0, max_records=10))


def test_where_a_partition_paused_the_next_look_is_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = AiokafkaConsumer()
    monkeypatch.setattr(MEMORY, "paused", 0.05)
    fetch_from(consumer)
    fetch_from(consumer)
    assert consumer.timeouts == [0.05, 1.0]


def test_each_partition_has_its_turn() -> None:
    consumer = AiokafkaConsumer()
    order = []
    for _ in range(3):
        fetch_from(consumer)
        order.append(next(iter(consumer._records)))
    assert order == [THERE, HERE, THERE]


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ExitCode, str]]:
    found: list[tuple[ExitCode, str]] = []

    def stop(code: ExitCode, event: str) -> None:
        found.append((code, event))
        raise Ended

    monkeypatch.setattr(fetching, "fail_stop", stop)
    return found


async def died(error: BaseException | None) -> Any:
    async def work() -> None:
        if error is not None:
            raise error

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("error", [KeyError("why"), None], ids=["raised", "returned"])
def test_a_fetch_task_that_died_ends_the_worker(
    ends: list[tuple[ExitCode, str]], error: BaseException | None
) -> None:
    consumer = AiokafkaConsumer()
    consumer._fetch_task = asyncio.run(died(error))
    with pytest.raises(Ended):
        fetch_from(consumer)
    ((code, event),) = ends
    assert code is ExitCode.WATCHDOG
    assert "died" in event
    assert error is None or "KeyError: 'why'" in event


def test_what_was_fetched_before_is_finished_first(ends: list[tuple[ExitCode, str]]) -> None:
    consumer = AiokafkaConsumer()
    consumer._fetch_task = asyncio.run(died(KeyError("why")))
    held = MEMORY.hand_out(10)
    assert fetch_from(consumer) == {HERE: ["h"]}
    del held
    with pytest.raises(Ended):
        fetch_from(consumer)
    assert len(ends) == 1


def test_a_consumer_that_is_closed_ends_by_itself(ends: list[tuple[ExitCode, str]]) -> None:
    consumer = AiokafkaConsumer()
    consumer._fetch_task, consumer._closed = asyncio.run(died(None)), True
    with pytest.raises(ConsumerStoppedError):
        fetch_from(consumer)
    assert ends == []
