"""An breaker: one probes, the others wait, then all go on."""

import threading
import time

import pytest

from streams.runtime.model_runs.circuit_breaker import CircuitBreaker, Permit


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(changes: list[bool]) -> CircuitBreaker:
    return CircuitBreaker("the model", first_wait=0.05, longest_wait=0.1, on_change=changes.append)


def test_while_all_is_well_everybody_may_try(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    assert permit == Permit(probe=False)
    breaker.success(permit)
    assert not breaker.is_open


def test_one_failure_holds_everybody_and_one_probes(breaker: CircuitBreaker, changes: list[bool]) -> None:
    breaker.failure(Permit(probe=False), "503")
    assert breaker.is_open
    assert breaker.acquire() is None
    probe = breaker.acquire(1)
    assert probe == Permit(probe=True)
    assert breaker.acquire(0.2) is None
    breaker.success(probe)
    assert breaker.acquire() == Permit(probe=False)
    assert changes == [True, False]


def test_only_a_probe_ends_it(breaker: CircuitBreaker) -> None:
    before = breaker.acquire()
    assert before is not None
    breaker.failure(Permit(probe=False), "503")
    breaker.success(before)
    assert breaker.is_open


def test_a_failed_probe_waits_longer_and_an_unused_one_is_given_on(breaker: CircuitBreaker) -> None:
    breaker.failure(Permit(probe=False), "503")
    probe = breaker.acquire(1)
    assert probe is not None
    breaker.failure(probe, "503")
    assert breaker.acquire(0.02) is None
    probe = breaker.acquire(1)
    assert probe is not None
    breaker.release(probe)
    assert breaker.acquire(1) == Permit(probe=True)


def test_the_servers_own_delay_is_kept(breaker: CircuitBreaker) -> None:
    breaker.failure(Permit(probe=False), "429", retry_after=0.4)
    begun = time.monotonic()
    assert breaker.acquire(0.2) is None
    assert breaker.acquire(5) == Permit(probe=True)
    assert time.monotonic() - begun >= 0.39


def test_who_waits_goes_on_as_soon_as_it_is_over(breaker: CircuitBreaker) -> None:
    breaker.failure(Permit(probe=False), "503")
    probe = breaker.acquire(1)
    assert probe is not None
    found: list[Permit | None] = []
    waiting = [threading.Thread(target=lambda: found.append(breaker.acquire(30))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    breaker.success(probe)
    for thread in waiting:
        thread.join(5)
    assert found == [Permit(probe=False)] * 3
