"""A loop that stands still ends its process."""

import threading

from streams.runtime.exit_codes import ExitCode
from streams.runtime.loop_watchdog import LoopWatchdog


def test_only_a_loop_that_stands_still_ends_the_process() -> None:
    now = 0.0
    ended: list[tuple[ExitCode, str]] = []
    watchdog = LoopWatchdog(
        "replay", limit=60, clock=lambda: now, end=lambda code, said: ended.append((code, said))
    )
    for _ in range(10):
        now += 50
        watchdog.check()
        watchdog.reset()
    assert ended == []
    now += 61
    watchdog.check()
    [(code, said)] = ended
    assert code is ExitCode.WATCHDOG
    assert said.startswith("the loop of replay has not turned for 61 s, allowed are 60 s")


def test_it_looks_by_itself_until_it_is_stopped() -> None:
    ended = threading.Event()
    watchdog = LoopWatchdog("sink", limit=0.05, end=lambda *_: ended.set())
    watchdog.start()
    assert ended.wait(10)
    watchdog.stop()
