"""A record that the broker did not take ends the process."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from faust.transport.producer import ProducerBuffer

from streams.faust_runner.safety import publishing
from streams.faust_runner.safety.patches import Patch
from streams.runtime.exit_codes import ExitCode

BY_NAME: dict[str, Patch] = {patch.method: patch for patch in publishing.PATCHES}


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def stop(monkeypatch: pytest.MonkeyPatch) -> list[ExitCode]:
    codes: list[ExitCode] = []

    def fail_stop(code: ExitCode, event: str, /, **details: object) -> None:
        codes.append(code)
        raise Stopped(event)

    monkeypatch.setattr(publishing, "fail_stop", fail_stop)
    return codes


def answered(error: BaseException | None) -> Any:
    future: Any = Future()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(MagicMock())
    return future


def message() -> Any:
    made = MagicMock()
    made.message.channel.get_topic_name.return_value = "opoi.reviews"
    return made


def test_a_refused_record_ends_the_process(stop: list[ExitCode]) -> None:
    with pytest.raises(Stopped, match=r"opoi\.reviews \(RuntimeError: too large\)"):
        BY_NAME["_on_published"].replacement(
            MagicMock(), answered(RuntimeError("too large")), message(), producer=None, state=None
        )
    assert stop == [ExitCode.PRODUCE_FAILED]


def test_faust_as_shipped_only_logs_it(stop: list[ExitCode]) -> None:
    sent = message()
    BY_NAME["_on_published"].original(
        MagicMock(), answered(RuntimeError("too large")), sent, producer=None, state=None
    )
    sent.set_exception.assert_called_once()
    assert stop == []


def test_a_taken_record_goes_on(stop: list[ExitCode]) -> None:
    sent = message()
    BY_NAME["_on_published"].replacement(MagicMock(), answered(None), sent, producer=None, state=None)
    sent.set_result.assert_called_once()
    assert stop == []


def test_a_cancelled_record_ends_the_process(stop: list[ExitCode]) -> None:
    future: Any = Future()
    future.cancel()
    with pytest.raises(Stopped):
        publishing.stop_on_failure("opoi.reviews", future)
    assert stop == [ExitCode.PRODUCE_FAILED]


def test_a_record_that_the_producer_refuses_at_once_ends_the_process(stop: list[ExitCode]) -> None:
    topic = MagicMock()
    topic._get_producer = AsyncMock(side_effect=RuntimeError("closed"))
    with pytest.raises(Stopped, match="RuntimeError: closed"):
        asyncio.run(BY_NAME["publish_message"].replacement(topic, message()))
    assert stop == [ExitCode.PRODUCE_FAILED]


class Channel:
    """A topic whose producer takes its time."""

    def __init__(self) -> None:
        self.sent = 0
        self.free = asyncio.Event()

    async def publish_message(self, _: Any, wait: bool) -> None:
        await self.free.wait()
        self.sent += 1


def buffer() -> Any:
    made = ProducerBuffer()
    made.app = SimpleNamespace(conf=SimpleNamespace(producer_threaded=False))  # type: ignore[assignment]
    return made


async def flush_while_the_producer_is_slow(patched: bool) -> tuple[bool, int]:
    """Whether the flush was over before the last of two table changes was with the producer."""
    channel, held = Channel(), buffer()
    put, send, flush = (
        (patch.replacement if patched else patch.original)
        for patch in (BY_NAME["put"], BY_NAME["_send_pending"], BY_NAME["flush"])
    )
    held._started.set()
    for _ in range(2):
        put(held, SimpleNamespace(message=SimpleNamespace(channel=channel)))

    async def hand_over() -> None:
        while True:
            await send(held, await held.pending.get())
            held.message_sent.set()

    task = asyncio.ensure_future(hand_over())
    flushing = asyncio.ensure_future(flush(held))
    await asyncio.sleep(0.3)
    over, sent = flushing.done(), channel.sent
    channel.free.set()
    await flushing
    task.cancel()
    return over and sent < 2, channel.sent


def test_the_flush_waits_for_every_table_change() -> None:
    early, sent = asyncio.run(flush_while_the_producer_is_slow(patched=True))
    assert not early
    assert sent == 2


def test_faust_as_shipped_gives_up_the_flush() -> None:
    early, _ = asyncio.run(flush_while_the_producer_is_slow(patched=False))
    assert early


def test_the_flush_does_not_wait_for_what_comes_after_it() -> None:
    """Else a commit never comes while the worker is busy."""

    async def flush_while_busy() -> None:
        held, sent = buffer(), 0
        held._started.set()
        put, send, flush = (BY_NAME[name].replacement for name in ("put", "_send_pending", "flush"))
        channel = Channel()
        channel.free.set()
        put(held, SimpleNamespace(message=SimpleNamespace(channel=channel)))
        flushing = asyncio.ensure_future(flush(held))
        while not flushing.done():
            put(held, SimpleNamespace(message=SimpleNamespace(channel=channel)))
            await send(held, await held.pending.get())
            await asyncio.sleep(0)
            sent += 1
        assert held.pending.qsize() == 1

    asyncio.run(asyncio.wait_for(flush_while_busy(), 5))


def test_a_stopped_producer_does_not_pretend_to_have_flushed() -> None:
    held = buffer()
    BY_NAME["put"].replacement(held, MagicMock())
    with pytest.raises(RuntimeError, match="1 table changes are unsent"):
        asyncio.run(BY_NAME["flush"].replacement(held))
