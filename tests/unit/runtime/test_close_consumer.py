"""A client that hangs when it leaves the group does not hold the worker up."""

import threading
from typing import Any

from streams.runtime.close_consumer import close_consumer
from streams.runtime.exit_codes import ExitCode


class Client:
    """Closes once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def close(self) -> None:
        assert self.go.wait(30)


def test_a_client_that_hangs_is_told() -> None:
    client: Any = Client()
    ended: list[tuple[ExitCode, str]] = []

    def end(code: ExitCode, said: str) -> None:
        ended.append((code, said))
        client.go.set()

    close_consumer(client, 0.05, end)
    [(code, said)] = ended
    assert code is ExitCode.WATCHDOG
    assert "not left the group within 0.05 s" in said


def test_one_that_leaves_in_time_is_not_ended_later() -> None:
    client: Any = Client()
    client.go.set()
    ended: list[ExitCode] = []
    before = threading.active_count()
    close_consumer(client, 0.2, lambda code, said: ended.append(code))
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5)
    assert ended == []
    assert threading.active_count() <= before
