"""Refuses network access and child processes to the code that answers the tools of a replay.

Those answers come from records, so they need no network. The guard also covers code that an agent brings: an
audit hook (`sys.addaudithook`, PEP 578) refuses a connection, a name look-up or a child process before the
operating system is called. Calls of the model are outside the guard. It covers the current thread alone;
threads that a tool starts are not covered.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

_REFUSED = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
        *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
        # a child process would not be guarded
        *("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec"),
    }
)
_what: ContextVar[str] = ContextVar("guarded", default="")


class NetworkRefused(PermissionError):
    """Guarded code tried to reach the network or to start a process."""


@contextmanager
def no_network(what: str) -> Iterator[None]:
    """Within the block this thread can open no connection and start no process.

    An attempt raises NetworkRefused where it is made; `what` names the block in its text.
    """
    _watch()
    token = _what.set(what)
    try:
        yield
    finally:
        _what.reset(token)


@cache
def _watch() -> None:
    # an audit hook cannot be removed, so there is one a process; outside of a block it does nothing
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED and (what := _what.get()):
        raise NetworkRefused(f"{what} may use no network and start no process, but it tried: {event}")
