"""A worker without an answered heartbeat does not write."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.faust_runner.safety import membership_fence
from streams.faust_runner.safety.membership_fence import (
    MembershipFence,
    do_heartbeat,
    fence_of,
    reset_generation,
    send_produce_req,
)
from streams.runtime.exit_codes import ExitCode


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(membership_fence, "now", lambda: made.now)
    monkeypatch.setattr(membership_fence, "_FENCES", {})
    return made


def test_a_lease_runs_out(clock: Any) -> None:
    held = MembershipFence(8.0)
    clock.now += 7.9
    assert held.holds()
    clock.now += 0.2
    assert not held.holds()
    held.renew()
    assert held.holds()


@pytest.mark.parametrize("answer", [True, False])
def test_only_an_answered_heartbeat_renews_it(
    clock: Any, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    async def ask(_: Any) -> bool:
        clock.now += 3.0
        return answer

    monkeypatch.setattr(membership_fence, "_do_heartbeat", ask)
    held = fence_of("group", 8.0)
    clock.now += 20.0
    asyncio.run(do_heartbeat(SimpleNamespace(group_id="group")))
    assert held.holds() is answer
    # it counts from the question on: the coordinator may have answered late
    clock.now += 5.1
    assert not held.holds()


def test_a_group_has_one_lease(clock: Any) -> None:
    assert fence_of("one", 8.0) is fence_of("one", 8.0)
    assert fence_of("one", 8.0) is not fence_of("other", 8.0)


def member(generation: int = 3, closing: bool = False) -> Any:
    return SimpleNamespace(
        group_id="group", generation=generation, _closing=SimpleNamespace(done=lambda: closing)
    )


@pytest.mark.parametrize(
    ("waited", "generation", "closing", "ends"),
    [(9.0, 3, False, True), (7.0, 3, False, False), (9.0, -1, False, False), (9.0, 3, True, False)],
    ids=["stood still", "lease holds", "was never a member", "is leaving"],
)
def test_a_worker_that_the_group_forgot_ends(
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    waited: float,
    generation: int,
    closing: bool,
    ends: bool,
) -> None:
    happened: list[Any] = []
    monkeypatch.setattr(membership_fence, "fail_stop", lambda code, _: happened.append(code))
    monkeypatch.setattr(membership_fence, "_reset_generation", lambda _: happened.append("reset"))
    fence_of("group", 8.0)
    clock.now += waited
    reset_generation(member(generation, closing))
    assert happened == ([ExitCode.EXPELLED] if ends else []) + ["reset"]


def test_a_batch_leaves_only_under_a_lease(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def send(_: Any, node: int, batches: Any) -> None:
        sent.append((node, batches))

    async def scene() -> None:
        held = fence_of("group", 8.0)
        clock.now += 9.0
        leaving = asyncio.create_task(send_produce_req(None, 1, {}))
        await asyncio.sleep(3 * membership_fence.POLL)
        assert sent == []
        held.renew()
        await leaving
        assert sent == [(1, {})]

    monkeypatch.setattr(membership_fence, "_send_produce_req", send)
    asyncio.run(scene())
