"""How large a record is, measured whole before it is sent.

Kafka holds `max.message.bytes` against a batch as its producer compressed it, so a record of any size may
come in. What goes out is measured as it is: what `record_bytes` finds within the limit fits, however little
it compresses.
"""

from collections.abc import Iterable

OVERHEAD = 1024
"""Bytes of a batch beside key, value and headers: its framing, a `traceparent`, and what a codec adds to
bytes that do not shrink (lz4: at most 8 in 64 KiB)."""
KEY_BYTES = 64 * 1024
"""The longest key that a stage writes or keeps a state under. Keys are names and ids; finding the partition
of one takes Faust 0.2 s a megabyte, in which it answers nobody."""
_HEADER_FRAMING = 10
"""The lengths of a header's name and value."""


def record_bytes(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()
) -> int:
    """The most that a batch with this record alone takes, in bytes. A `traceparent` is reckoned with."""
    return OVERHEAD + len(key or b"") + len(value or b"") + headers_bytes(headers)


def headers_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """The most that these headers take, in bytes."""
    return sum(_HEADER_FRAMING + len(name.encode()) + len(value or b"") for name, value in headers)
