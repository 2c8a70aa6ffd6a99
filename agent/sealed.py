"""Code that may open no connection: what answers the tools of a replay.

Those answers come from records, so nothing in them needs a network. The seal holds it even where an agent
brings code of its own into them: a connection, a name look-up or a process is refused before the operating
system hears of it (`sys.addaudithook`, PEP 578). Only the model is asked outside of it. It holds for the
thread; of threads that a tool starts Python 3.11 tells no audit hook.
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
        # a process would run on without the seal
        *("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec"),
    }
)
_what: ContextVar[str] = ContextVar("sealed", default="")


class Sealed(PermissionError):
    """Something tried to leave the process where nothing may."""


@contextmanager
def sealed(what: str) -> Iterator[None]:
    """For the time of the block this thread opens no connection. `what` names it in the error.

    What tries raises Sealed, in the place that tried.
    """
    _watch()
    token = _what.set(what)
    try:
        yield
    finally:
        _what.reset(token)


@cache
def _watch() -> None:
    # a hook cannot be removed, so there is one for the process, and it is quiet outside of a seal
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED and (what := _what.get()):
        raise Sealed(f"{what} may not leave the process, but it tried: {event}")
