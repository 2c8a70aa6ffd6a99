"""Bounds the unpacked bytes that a worker holds at once, over all its partitions.

Kafka bounds compressed batches, and a megabyte may unpack to gigabytes. Live objects are counted: each
record that is handed out carries a `Held`, which gives its bytes back when the last reference to the record
is dropped, for whatever reason. So records dropped in a rebalance do not stay counted.

It cannot deadlock: a waiter needs `LARGEST_BYTES` at most, and an idle worker holds two records at most (one
that a stream skipped, one of a restore), each of at most a third of `HANDED_BYTES`.
"""

import weakref
from collections import deque
from typing import Any, Final, NamedTuple, Self

from streams.core.unread import LARGEST_BYTES

MIB = 1024 * 1024

HANDED_BYTES = 48 * MIB
"""Records that are handed out and not finished."""
OPENED_BYTES = 16 * MIB
"""Batches that are unpacked whole and not yet handed out to their end."""
RECORD_BYTES = 1024
"""Cost of a record beside its bytes: it is some objects in Faust."""
HEADER_BYTES = 128
"""Cost of a header beside its bytes, in lists and tuples."""


class Pause(NamedTuple):
    """In place of a record: this partition pauses for so many seconds."""

    seconds: float


NO_ROOM: Final = Pause(0.05)
"""The stage has to finish something first."""
GO_ON: Final = Pause(0.001)
"""Nothing has to happen first, but heartbeats run in the same thread."""


class Held:
    """A claim on bytes for as long as it lives, or as its block lasts."""

    __slots__ = ("_given_back", "_size")

    def __init__(self, size: int, given_back: "deque[int]") -> None:
        self._size = size
        self._given_back = given_back

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def __del__(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        # appended, not subtracted: records end in another thread than the one that counts
        self._given_back.append(self._size)
        self._size = 0


class Memory:
    """Memory of one worker. Used by the fetching thread only."""

    def __init__(self) -> None:
        self.paused: float | None = None
        """Seconds after which a partition continues that paused in the last fetch; None: none did."""
        self._handed = 0
        self._opened = 0
        self._handed_back: deque[int] = deque()
        self._opened_back: deque[int] = deque()
        self._large = 0
        self._large_back: deque[int] = deque()
        self._first: weakref.ref[Any] | None = None
        self._first_size = 0

    def handed(self) -> int:
        """Bytes of the records that are handed out and alive."""
        while self._handed_back:
            self._handed -= self._handed_back.popleft()
        return self._handed

    def opened(self) -> int:
        """Bytes of the batches that are unpacked as a whole."""
        while self._opened_back:
            self._opened -= self._opened_back.popleft()
        return self._opened

    def has_room(self, size: int, waiter: Any) -> bool:
        """Whether `size` bytes of a record may be handed out now; if not, `waiter` asks again.

        The first waiter is served first, so that small records cannot delay a large one for ever.
        """
        # an unreadable batch is not cut and may be larger: no waiter may wait for ever
        size = min(size, LARGEST_BYTES)
        first = self._first() if self._first is not None else None
        ahead = self._first_size if first is not None and first is not waiter else 0
        if self.handed() + size + ahead <= HANDED_BYTES:
            if first is waiter:
                self._first = None
            return True
        if first is None or first is waiter:
            self._first, self._first_size = weakref.ref(waiter), size
        return False

    def hand_out(self, size: int) -> Held:
        """A record of `size` bytes goes out; it lives as long as the answer."""
        self._handed += size
        return Held(size, self._handed_back)

    def may_open(self, size: int) -> bool:
        """Whether a batch that unpacks to at most `size` bytes may be unpacked as a whole."""
        return self.opened() + size <= OPENED_BYTES

    def open(self, size: int) -> Held:
        """A batch of `size` bytes is unpacked as a whole; it lives as long as the answer."""
        self._opened += size
        return Held(size, self._opened_back)

    def open_large(self) -> Held | None:
        """The right to read a large batch piece by piece, for as long as the answer lives; None: not now."""
        while self._large_back:
            self._large -= self._large_back.popleft()
        if self._large > 0:
            return None
        self._large = 1
        return Held(1, self._large_back)


MEMORY = Memory()


def let_go(event: Any) -> None:
    """Drops what `event` holds: Faust keeps the last event of a stream until the next one comes."""
    message = event.message
    event.key = event.value = None
    event.headers = {}
    message.key = message.value = message.checksum = None
    message.headers = ()
