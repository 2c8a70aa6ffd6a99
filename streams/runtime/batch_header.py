"""What a batch of format 2 says of itself, in front of its records."""

import struct

_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = _HEADER.size
ATTRIBUTES_END = struct.calcsize(">qiibIh")
MAGIC_AT = 16
CODEC_BITS = 0x07
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_000
"""What a datetime can say, in milliseconds since 1970."""


class Header:
    """What the head of a batch says."""

    def __init__(self, batch: bytes | memoryview) -> None:
        found = _HEADER.unpack_from(batch)
        self.base_offset: int = found[0]
        self.attributes: int = found[5]
        self.first_timestamp: int = found[7]
        self.max_timestamp: int = found[8]
        self.producer_id: int = found[9]
        self.count: int = found[12]
        self.codec = self.attributes & CODEC_BITS
        self.last_offset: int = self.base_offset + found[6]
        self.is_whole: bool = self.count == found[6] + 1
        """Whether no record was compacted away: the offsets are all those from the first to the last."""

    @property
    def timestamp_type(self) -> int:
        """1 where the broker set the timestamps, 0 where the producer did."""
        return int(bool(self.attributes & _LOG_APPEND_TIME))

    @property
    def is_transactional(self) -> bool:
        """Whether it is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether it is a marker of the broker's, with no records of anybody."""
        return bool(self.attributes & _CONTROL)

    def timestamp(self, delta: int) -> int:
        """Of a record, in milliseconds since 1970."""
        return bounded(self.max_timestamp if self.timestamp_type else self.first_timestamp + delta)


def bounded(timestamp: int) -> int:
    """A producer may write any number; this is the next one to it that a datetime can say."""
    return max(_EARLIEST, min(_LATEST, timestamp))
