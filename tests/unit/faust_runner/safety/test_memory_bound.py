"""How many bytes a worker holds at once."""

import gc
import random
from types import SimpleNamespace
from typing import Any

import pytest

from streams.faust_runner.safety.memory_bound import (
    HANDED_BYTES,
    LARGEST_BYTES,
    MIB,
    OPENED_BYTES,
    Held,
    Memory,
    let_go,
)


class Waiter:
    """Whoever waits."""


@pytest.fixture(autouse=True)
def no_collector() -> Any:
    """What is counted goes with its last reference, not when garbage is collected."""
    gc.disable()
    yield
    gc.enable()


def test_what_is_handed_out_counts_until_the_last_reference_goes() -> None:
    memory, waiter = Memory(), Waiter()
    first = memory.hand_out(HANDED_BYTES - MIB)
    also = first
    assert memory.has_room(MIB, waiter)
    assert not memory.has_room(MIB + 1, waiter)
    del first
    assert memory.handed() == HANDED_BYTES - MIB
    del also
    assert memory.handed() == 0
    assert memory.has_room(MIB + 1, waiter)


def test_who_waits_first_is_served_first() -> None:
    memory, large, small = Memory(), Waiter(), Waiter()
    held = [memory.hand_out(10 * MIB) for _ in range(4)]
    assert not memory.has_room(LARGEST_BYTES, large)
    assert not memory.has_room(MIB, small), "8 MiB are free, and somebody waits for 16"
    held.pop()
    assert not memory.has_room(3 * MIB, small)
    assert memory.has_room(2 * MIB, small), "16 of the 18 MiB are kept for the first"
    assert memory.has_room(LARGEST_BYTES, large)
    assert memory.has_room(LARGEST_BYTES, small), "nobody waits any more"


def test_whose_partition_went_elsewhere_waits_no_more() -> None:
    memory, large, small = Memory(), Waiter(), Waiter()
    held = memory.hand_out(40 * MIB)
    assert not memory.has_room(LARGEST_BYTES, large)
    assert not memory.has_room(MIB, small)
    del large
    assert memory.has_room(MIB, small)
    del held


def test_nobody_waits_for_more_than_there_is() -> None:
    assert Memory().has_room(2 * HANDED_BYTES, Waiter())


def test_opened_batches_are_bounded_and_given_back_at_the_end_of_the_block() -> None:
    memory = Memory()
    with memory.open(OPENED_BYTES - MIB) as opened:
        assert memory.may_open(MIB)
        assert not memory.may_open(MIB + 1)
    assert memory.may_open(OPENED_BYTES)
    del opened
    assert memory.opened() == 0, "given back once"


def test_one_large_batch_at_a_time() -> None:
    memory = Memory()
    right = memory.open_large()
    assert isinstance(right, Held)
    assert memory.open_large() is None
    del right
    assert memory.open_large() is not None


@pytest.mark.parametrize("seed", range(20))
def test_it_never_stands_still_and_never_holds_too_much(seed: int) -> None:
    """Partitions that ask, pause and go, a stage that finishes in order and keeps two records lying about."""
    chance = random.Random(seed)
    memory = Memory()
    partitions = [Waiter() for _ in range(12)]
    wanted = [chance.choice([1, 1000, MIB, 7 * MIB, LARGEST_BYTES]) for _ in partitions]
    queue: list[tuple[int, Held]] = []
    kept: list[tuple[int, Held]] = []
    served = 0
    for _ in range(2_000):
        progress = False
        running = [place for place in range(12) if chance.random() < 0.7] or [0]
        for place in running:
            if chance.random() < 0.02:
                partitions[place] = Waiter()
            size = wanted[place]
            if memory.has_room(size, partitions[place]):
                queue.append((size, memory.hand_out(size)))
                wanted[place] = chance.choice([1, 1000, MIB, 7 * MIB, LARGEST_BYTES])
                progress, served = True, served + 1
        assert sum(size for size, _ in queue + kept) <= HANDED_BYTES
        if queue:
            kept = [*kept[-1:], queue.pop(0)]
            progress = True
        elif not progress:
            # those that pause have claims; once all run somebody is served
            assert any(memory.has_room(wanted[place], partitions[place]) for place in range(12))
    assert served > 1_000


def test_let_go_drops_every_reference_to_what_an_event_holds() -> None:
    memory = Memory()
    message = SimpleNamespace(
        key=b"k", value=b"v", headers=(("h", b"1"),), checksum=memory.hand_out(100), offset=7
    )
    event = SimpleNamespace(key=b"k", value=b"v", headers={"h": b"1"}, message=message)
    let_go(event)
    assert memory.handed() == 0
    assert (event.key, event.value, event.headers) == (None, None, {})
    assert (message.key, message.value, message.headers, message.offset) == (None, None, (), 7)
