"""Whether something on this machine answers now."""

import socket
import urllib.request
from collections.abc import Callable


def answers_http(url: str) -> bool:
    """Whether a GET of `url` succeeds now."""
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def listening(port: int) -> Callable[[], bool]:
    """A probe: whether `port` of 127.0.0.1 takes connections now."""

    def probe() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return probe
