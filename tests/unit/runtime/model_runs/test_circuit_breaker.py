"""An outage: one probes, the others wait, then all go on."""

import threading
import time

import pytest

from streams.runtime.model_runs.circuit_breaker import Outage, Permit


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def outage(changes: list[bool]) -> Outage:
    return Outage("the model", first_wait=0.05, longest_wait=0.1, on_change=changes.append)


def test_while_all_is_well_everybody_may_try(outage: Outage) -> None:
    permit = outage.permit()
    assert permit == Permit(probe=False)
    outage.passed(permit)
    assert not outage.ongoing


def test_one_failure_holds_everybody_and_one_probes(outage: Outage, changes: list[bool]) -> None:
    outage.failed(Permit(probe=False), "503")
    assert outage.ongoing
    assert outage.permit() is None
    probe = outage.permit(1)
    assert probe == Permit(probe=True)
    assert outage.permit(0.2) is None
    outage.passed(probe)
    assert outage.permit() == Permit(probe=False)
    assert changes == [True, False]


def test_only_a_probe_ends_it(outage: Outage) -> None:
    before = outage.permit()
    assert before is not None
    outage.failed(Permit(probe=False), "503")
    outage.passed(before)
    assert outage.ongoing


def test_a_failed_probe_waits_longer_and_an_unused_one_is_given_on(outage: Outage) -> None:
    outage.failed(Permit(probe=False), "503")
    probe = outage.permit(1)
    assert probe is not None
    outage.failed(probe, "503")
    assert outage.permit(0.02) is None
    probe = outage.permit(1)
    assert probe is not None
    outage.unused(probe)
    assert outage.permit(1) == Permit(probe=True)


def test_the_servers_own_delay_is_kept(outage: Outage) -> None:
    outage.failed(Permit(probe=False), "429", retry_after=0.4)
    begun = time.monotonic()
    assert outage.permit(0.2) is None
    assert outage.permit(5) == Permit(probe=True)
    assert time.monotonic() - begun >= 0.39


def test_who_waits_goes_on_as_soon_as_it_is_over(outage: Outage) -> None:
    outage.failed(Permit(probe=False), "503")
    probe = outage.permit(1)
    assert probe is not None
    found: list[Permit | None] = []
    waiting = [threading.Thread(target=lambda: found.append(outage.permit(30))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    outage.passed(probe)
    for thread in waiting:
        thread.join(5)
    assert found == [Permit(probe=False)] * 3
