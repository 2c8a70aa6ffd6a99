"""What stands for a record that was not read whole.

It is handed out where the record would have been, so that it ends as a dead letter and not as a hole in its
partition.
"""

import hashlib

from schemas.dead_letter_kinds import DeadLetterKind


class Unread(bytes):
    """Bytes in place of a record's value: the value's head, or those of the batch that cannot be unpacked."""

    kind: DeadLetterKind
    reason: str
    last_offset: int
    """Of the last record that it stands for; the first one's is its own."""
    whole_bytes: int
    """Length of what these bytes are the head of, or all of."""
    whole_sha256: str
    """Of the same, in hex."""

    @classmethod
    def record(cls, head: bytes, reason: str, offset: int, whole_bytes: int, whole_sha256: str) -> "Unread":
        """A record of which only the value's head was kept."""
        made = cls(head)
        made.kind, made.reason, made.last_offset = "too_large", reason, offset
        made.whole_bytes, made.whole_sha256 = whole_bytes, whole_sha256
        return made

    @classmethod
    def batch(cls, content: bytes, reason: str, last_offset: int) -> "Unread":
        """The records of a batch from here to its end; `content` is the batch as it stands in the log."""
        made = cls(content)
        made.kind, made.reason, made.last_offset = "unreadable_batch", reason, last_offset
        made.whole_bytes, made.whole_sha256 = len(content), hashlib.sha256(content).hexdigest()
        return made


def last_offset(value: bytes | None, offset: int) -> int:
    """The last offset for which the record at `offset` stands: its own, but where it is `Unread`."""
    return value.last_offset if isinstance(value, Unread) else offset
