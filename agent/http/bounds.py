"""Limits for agents over HTTP, in bytes and seconds.

The bytes of a whole run (`replay.max_run_bytes`) and the time of one answer (`replay.answer_seconds`) are
settings.
"""

import threading

MOST_BYTES = 8 * 1024 * 1024
"""Of one body; a record may have 4 MiB."""
MOST_CALL_BYTES = 1024 * 1024
"""Of one tool call."""
MOST_HEAD_BYTES = 96 * 1024
"""Of an answer before its body: interim answers, status line, headers."""
MOST_PIECES = 20_000
"""Chunks of one answer."""
MOST_VALUES = 700_000
"""Members, items and containers of one JSON body: above what 8 MiB of log-probabilities hold."""
MOST_PARTS = 20_000
"""Parts of all turns of one trace."""
MOST_USED = 10**9
"""Tokens and calls of each kind that a trace may report: sums over runs must fit into records."""
MOST_ATTEMPTS = 10**5
MOST_PROBLEM_BYTES = 64 * 1024
"""Of an error's body that is read for its message."""
MOST_REASON = 1000
"""Characters of a reason."""
REQUEST_BYTES = 512
"""Bytes that a request or an answer counts besides its body."""

CONNECT_SECONDS = 5.0
"""For the look-up of a name and the connection; the TLS handshake has the same again."""
CANCEL_SECONDS = 2.0
AWAY_SECONDS = 20.0
"""An agent that does not answer about a run for so long counts as unavailable."""
BODY_SECONDS = 30.0
"""For the body of a request to opoi."""
HEAD_SECONDS = 10.0
"""For the head of a request to opoi."""
EXCHANGE_SECONDS = 120.0
"""For a request to opoi and its answer."""

MOST_CONNECTIONS = 256
"""To one agent."""
MOST_ACCEPTED = 512
"""To one of opoi's servers."""
CALLS_PER_TURN = 32
"""Tool calls of a run for each model turn that its budget allows."""
CALLS_AT_ONCE = 8
"""Tool calls of a run that are answered at once; further ones wait."""


def most_polls(seconds: float) -> int:
    """Status requests for a run that may take `seconds`; opoi asks every two seconds at most."""
    return 100 + int(2 * seconds)


class TooLarge(Exception):
    """More bytes or values than allowed; the text says of what, and the limit."""


class ByteBudget:
    """The bytes that opoi and an agent may exchange in one run, both ways. Thread-safe."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._used = 0
        self._lock = threading.Lock()

    @property
    def exceeded(self) -> bool:
        """Whether more was exchanged than may be."""
        return self._used > self.most

    def take(self, count: int) -> None:
        """Counts exchanged bytes. Raises TooLarge above the limit, and on every later call."""
        with self._lock:
            self._used += count
        if self.exceeded:
            raise TooLarge(
                f"the run has exchanged more than {self.most} bytes, its limit (OPOI_REPLAY__MAX_RUN_BYTES)"
            )
