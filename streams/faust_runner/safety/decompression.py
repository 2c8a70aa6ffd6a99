"""Decompresses a batch in pieces, so that the gigabytes of one are never in memory whole.

As lenient as the broker, which decompresses every batch before it takes it: bytes behind the records that
the broker ignores are ignored here.
"""

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import cramjam
import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 256 * 1024
_FEED_BYTES = 64 * 1024
BLOCK_BYTES = 128 * 1024 * 1024
"""Most memory of a codec itself: the largest window of zstd that the broker takes."""
_GZIP_MAGIC = b"\x1f\x8b"
_XERIAL_MAGIC = b"\x82SNAPPY\0"
_XERIAL_HEAD = 16
"""Bytes of the magic and of two versions, which nothing checks."""

_FAULTS = (zlib.error, zstd.ZstdError, cramjam.DecompressionError, RuntimeError, ValueError, EOFError)
"""What the codecs raise for bytes that are not theirs."""


class Unreadable(Exception):
    """A batch cannot be read from here on; the text says why."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface that those of lz4 and zstd have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def pieces(codec: int, content: memoryview) -> Iterator[bytes]:
    """The decompressed `content`, in order; `codec` as in a batch's attributes. Raises `Unreadable`."""
    try:
        match codec:
            case 1:
                # a member may follow; anything else behind one is ignored
                yield from _frames(_Gzip, content, _GZIP_MAGIC)
            case 2:
                yield from _snappy(content)
            case 3:
                yield from _frames(lz4.frame.LZ4FrameDecompressor, content, None)
            case 4:
                yield from _frames(zstd.ZstdDecompressor, content, b"")
            case _:
                raise Unreadable(f"its compression codec {codec} is unknown")
    except _FAULTS as error:
        raise Unreadable(f"it cannot be decompressed ({type(error).__name__}: {error})") from error


def _frames(new: Callable[[], _Decompressor], content: memoryview, magic: bytes | None) -> Iterator[bytes]:
    """Frame after frame while `magic` begins the next one; None: one frame."""
    at = 0
    while True:
        frame = new()
        while not frame.eof:
            fed = b""
            if frame.needs_input:
                fed = bytes(content[at : at + _FEED_BYTES])
                at += len(fed)
                if not fed:
                    raise EOFError("the compressed bytes end within a frame")
            yield frame.decompress(fed, PIECE_BYTES)
        at -= len(frame.unused_data or b"")
        if at >= len(content) or magic is None or bytes(content[at : at + len(magic)]) != magic:
            return


def _snappy(content: memoryview) -> Iterator[bytes]:
    """One block, or blocks in xerial's framing, as the Java client writes them."""
    if bytes(content[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        yield _snappy_block(content)
        return
    at = 0
    while at < len(content):
        if bytes(content[at : at + len(_XERIAL_MAGIC)]) == _XERIAL_MAGIC:
            at += _XERIAL_HEAD
            continue
        (size,) = struct.unpack_from(">i", content, at) if at + 4 <= len(content) else (-1,)
        at += 4
        if not 0 < size <= len(content) - at:
            raise ValueError(f"a snappy block of {size} bytes where {len(content) - at} follow")
        yield _snappy_block(content[at : at + size])
        at += size


def _snappy_block(block: memoryview) -> bytes:
    raw = bytes(block)
    size = cramjam.snappy.decompress_raw_len(raw)
    if size > BLOCK_BYTES:
        raise ValueError(f"a snappy block says that it unpacks to {size} bytes, allowed are {BLOCK_BYTES}")
    return bytes(cramjam.snappy.decompress_raw(raw))
