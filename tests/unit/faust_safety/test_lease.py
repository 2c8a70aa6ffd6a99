"""A worker without an answered heartbeat does not write."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.faust_safety import lease
from streams.faust_safety.lease import Lease, do_heartbeat, lease_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(lease, "now", lambda: made.now)
    monkeypatch.setattr(lease, "_LEASES", {})
    return made


def test_a_lease_runs_out(clock: Any) -> None:
    held = Lease(8.0)
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

    monkeypatch.setattr(lease, "_do_heartbeat", ask)
    held = lease_of("group", 8.0)
    clock.now += 20.0
    asyncio.run(do_heartbeat(SimpleNamespace(group_id="group")))
    assert held.holds() is answer
    # it counts from the question on: the coordinator may have answered late
    clock.now += 5.1
    assert not held.holds()


def test_a_group_has_one_lease(clock: Any) -> None:
    assert lease_of("one", 8.0) is lease_of("one", 8.0)
    assert lease_of("one", 8.0) is not lease_of("other", 8.0)
