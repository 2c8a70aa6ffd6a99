"""A restore writes what it read before it takes much memory."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.core.unread import Unread
from streams.faust_runner.safety import tables
from streams.faust_runner.safety.memory_bound import MIB
from streams.faust_runner.safety.tables import FLUSH_BYTES, RestoreWithinBounds
from streams.runtime.exit_codes import ExitCode


class Recovery:
    """Faust's: events wait in a buffer until a thousand are there."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.largest = 0
        self.written: list[bytes] = []
        self.left = 10**9

    def need_recovery(self) -> bool:
        return self.left > 0

    def flush_buffers(self) -> None:
        self.written += [event.message.value for event in self.waiting]
        self.waiting.clear()

    def restore(self, bounded: RestoreWithinBounds, value: bytes | None) -> Any:
        message = SimpleNamespace(
            topic="changelog", partition=2, offset=5, key=b"k", value=value, headers=(), checksum=None
        )
        event = SimpleNamespace(key=b"k", value=value, headers={}, message=message)
        self.waiting.append(event)
        self.left -= 1
        asyncio.run(bounded(event))
        self.largest = max(self.largest, sum(len(one.message.value or b"") for one in self.waiting))
        return event


def test_restored_states_wait_in_bounds_and_all_are_written() -> None:
    recovery = Recovery()
    bounded = RestoreWithinBounds(SimpleNamespace(tables=SimpleNamespace(recovery=recovery)))
    values = [bytes([number]) * (MIB // 2 + number) for number in range(50)]
    recovery.left = len(values)
    for value in values:
        event = recovery.restore(bounded, value)
    assert recovery.written == values
    assert recovery.largest <= FLUSH_BYTES
    assert event.message.value is None, "the restore keeps the last event until the next restore"


def test_states_that_cannot_be_read_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        """Stands for the end of the process."""

    def stop(code: ExitCode, event: str) -> None:
        assert code is ExitCode.REFUSED
        assert "changelog-2: the states at the offsets 5 to 9 cannot be restored: why" in event
        raise Ended

    monkeypatch.setattr(tables, "fail_stop", stop)
    recovery = Recovery()
    bounded = RestoreWithinBounds(SimpleNamespace(tables=SimpleNamespace(recovery=recovery)))
    with pytest.raises(Ended):
        recovery.restore(bounded, Unread.batch(b"raw", "why", 9))
