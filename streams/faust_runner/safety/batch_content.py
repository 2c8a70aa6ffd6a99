"""The bytes of a batch's records, from front to back."""

from collections.abc import Iterator
from typing import Any

from streams.faust_runner.safety.decompression import Unreadable
from streams.runtime.batch_header import ATTRIBUTES_END, CODEC_BITS, HEADER_SIZE

BATCH_BYTES = 1024 * 1024 * 1024
"""Most bytes that a batch may unpack to: seconds of work. What follows counts as unreadable."""


def as_uncompressed(batch: memoryview, unpacked: list[bytes]) -> memoryview:
    """`batch` as it would be without compression; its checksum is that of the compressed one."""
    head = bytearray(batch[:HEADER_SIZE])
    head[ATTRIBUTES_END - 1] &= ~CODEC_BITS
    return memoryview(b"".join((head, *unpacked)))


class Content:
    """Bytes that are read once, from front to back."""

    def __init__(self, unpacked: Iterator[Any]) -> None:
        self._unpacked = unpacked
        self._piece: Any = b""
        self._at = 0
        self._total = 0

    @property
    def passed(self) -> int:
        """How many bytes were read."""
        return self._total - len(self._piece) + self._at

    def _next_piece(self) -> None:
        for piece in self._unpacked:
            if piece:
                self._piece, self._at = piece, 0
                self._total += len(piece)
                if self._total > BATCH_BYTES:
                    raise Unreadable(f"it unpacks to more than {BATCH_BYTES} bytes")
                return
        raise Unreadable("its bytes end before its records")

    def byte(self) -> int:
        if self._at == len(self._piece):
            self._next_piece()
        found: int = self._piece[self._at]
        self._at += 1
        return found

    def number(self, bits: int = 32) -> int:
        """A zigzag varint of so many bits; higher ones are cut off, as in Java."""
        byte = self.byte()
        found, shift = byte & 0x7F, 7
        while byte >= 0x80:
            if shift >= bits + 3:
                raise Unreadable("a number in it has too many bytes")
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            shift += 7
        found &= (1 << bits) - 1
        return (found >> 1) ^ -(found & 1)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end <= len(self._piece):
            found = bytes(self._piece[self._at : end])
            self._at = end
            return found
        return b"".join(bytes(part) for part in self.parts(size))

    def parts(self, size: int) -> Iterator[Any]:
        """The next `size` bytes in pieces."""
        if size < 0:
            raise Unreadable("the length of a record in it is less than what the record holds")
        while size > 0:
            if self._at == len(self._piece):
                self._next_piece()
            part = self._piece[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            yield part
