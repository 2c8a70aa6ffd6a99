"""Waiting in place ends when the thing is back, or when the event is given up."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from schemas.errors import RegistryAway
from streams.faust_runner import retry
from streams.faust_runner.retry import RetryAborted, RetryPolicy
from streams.faust_runner.safety.offset_probe import ProbeAway
from streams.faust_runner.safety.watchdog import WorkerProgress
from streams.runtime.throttled_log import ThrottledLog


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.004)
    monkeypatch.setattr(retry, "LOOK_EVERY", 0.001)


def never() -> bool:
    return False


class Away:
    """Answers after some failures."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left = failures
        self.error = error

    async def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "there"


@pytest.mark.parametrize("error", [RegistryAway("no registry"), ProbeAway("no broker")])
def test_it_goes_on_when_the_thing_is_back(error: Exception) -> None:
    progress = WorkerProgress()
    assert asyncio.run(RetryPolicy("join", progress, never).until_done(Away(4, error))) == "there"
    assert progress.waiting == ""


def test_while_it_waits_it_says_so() -> None:
    progress, seen = WorkerProgress(), []

    class Watched(Away):
        async def __call__(self) -> str:
            asyncio.get_running_loop().call_later(0.0005, lambda: seen.append(progress.waiting))
            return await super().__call__()

    asyncio.run(RetryPolicy("join", progress, never).until_done(Watched(3, RegistryAway("x"))))
    assert "x" in seen


def test_a_broker_that_is_away_is_the_watchdogs_to_see() -> None:
    progress, seen = WorkerProgress(), []

    async def attempt() -> str:
        seen.append(progress.waiting)
        return await away()

    away = Away(3, ProbeAway("x"))
    asyncio.run(RetryPolicy("join", progress, never).until_done(attempt))
    assert seen == [""] * 4


def test_another_error_is_not_waited_for() -> None:
    with pytest.raises(KeyError):
        asyncio.run(RetryPolicy("join", WorkerProgress(), never).until_done(Away(1, KeyError("x"))))


@pytest.mark.parametrize(
    "wait",
    [
        lambda retry: retry.until_done(Away(10**9, RegistryAway("x"))),
        lambda retry: retry.until_true(lambda: False, "never"),
    ],
    ids=["answer", "condition"],
)
def test_a_stop_or_a_rebalance_ends_the_waiting(wait: Callable[[RetryPolicy], object]) -> None:
    progress, calls = WorkerProgress(), 0

    def is_aborted() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    async def run() -> None:
        await wait(RetryPolicy("join", progress, is_aborted))  # type: ignore[misc]

    with pytest.raises(RetryAborted):
        asyncio.run(run())
    assert progress.waiting == ""


def test_a_condition_that_does_not_hold_is_told_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(retry, "ThrottledLog", partial(ThrottledLog, clock=lambda: next(seconds)))
    looks = iter([False] * 30 + [True])  # each takes three looks at the clock
    with capture_logs() as said:
        asyncio.run(RetryPolicy("join", WorkerProgress(), never).until_true(lambda: next(looks), "no answer"))
    assert [(one["event"], one["error"]) for one in said] == [
        ("broker unreachable, waiting", "no answer")
    ] * 3


def test_a_condition_that_holds_is_not_waited_for() -> None:
    asyncio.run(RetryPolicy("join", WorkerProgress(), lambda: True).until_true(lambda: True, "never"))
