"""Size of a record, measured whole before it is sent.

Kafka applies `max.message.bytes` to a batch as its producer compressed it, so an input may have any size.
An output is measured uncompressed: if `record_bytes` is within the limit, the record fits, however badly it
compresses.
"""

from collections.abc import Iterable

OVERHEAD = 1024
"""Bytes of a batch beside key, value and headers: its framing, a `traceparent`, and what a codec adds to
bytes that do not shrink (lz4: at most 8 in 64 KiB)."""
KEY_BYTES = 64 * 1024
"""Longest key of an output or a state, in bytes. Keys are names and ids; Faust needs 0.2 s a megabyte to
find the partition of one, and blocks meanwhile."""
_HEADER_FRAMING = 10
"""The lengths of a header's name and value."""


def record_bytes(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()
) -> int:
    """Upper bound of a batch with only this record, in bytes, a `traceparent` included."""
    return OVERHEAD + len(key or b"") + len(value or b"") + headers_bytes(headers)


def headers_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Upper bound of these headers, in bytes."""
    return sum(_HEADER_FRAMING + len(name.encode()) + len(value or b"") for name, value in headers)
