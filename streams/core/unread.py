"""The substitute for a record that was not read whole.

It is handed out in place of the record, so that the record becomes a dead letter and not a hole in its
partition.
"""

import hashlib

from schemas.dead_letter_kinds import DeadLetterKind

LARGEST_BYTES = 16 * 1024 * 1024
"""Of a larger record only the head is kept. No topic takes a quarter of it."""
HEAD_BYTES = 64 * 1024
"""Bytes kept of a value that is too large; a longer key is dropped."""


class Unread(bytes):
    """Bytes in place of a record's value: the value's head, or those of the batch that cannot be unpacked."""

    kind: DeadLetterKind
    reason: str
    last_offset: int
    """Offset of the last record that it represents; its own offset is that of the first."""
    whole_bytes: int
    """Length of the whole, of which these bytes are the head or all."""
    whole_sha256: str
    """sha256 of the whole, in hex."""

    @classmethod
    def record(cls, head: bytes, reason: str, offset: int, whole_bytes: int, whole_sha256: str) -> "Unread":
        """A record of which only the head of the value was kept."""
        made = cls(head)
        made.kind, made.reason, made.last_offset = "too_large", reason, offset
        made.whole_bytes, made.whole_sha256 = whole_bytes, whole_sha256
        return made

    @classmethod
    def batch(cls, content: bytes, reason: str, last_offset: int) -> "Unread":
        """The records of a batch from here to its end; `content` is the batch as it is in the log."""
        made = cls(content)
        made.kind, made.reason, made.last_offset = "unreadable_batch", reason, last_offset
        made.whole_bytes, made.whole_sha256 = len(content), hashlib.sha256(content).hexdigest()
        return made


def within_bounds(key: bytes | None, value: bytes | None, offset: int) -> tuple[bytes | None, bytes | None]:
    """Key and value of the record at `offset`, or what stands for them where they are too large."""
    if len(key or b"") + len(value or b"") <= LARGEST_BYTES:
        return key, value
    whole = value or b""
    reason = f"the record was not read whole: it has more than {LARGEST_BYTES} bytes"
    digest = hashlib.sha256(whole).hexdigest()
    head = Unread.record(whole[:HEAD_BYTES], reason, offset, len(whole), digest)
    return None if len(key or b"") > HEAD_BYTES else key, head


def last_offset(value: bytes | None, offset: int) -> int:
    """The last offset that the record at `offset` represents: its own, unless it is `Unread`."""
    return value.last_offset if isinstance(value, Unread) else offset
