"""Record batches as a hostile producer may write them, sent without a client library that would refuse."""

import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cramjam
from aiokafka.record.util import calc_crc32c, encode_varint

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_LETTERS = b"a" * 1024 * 1024
_PRODUCE, _VERSION = 0, 7
_NO_LEADER_YET = (3, 5, 6)
"""Error codes of a topic that was made just now."""


@dataclass(frozen=True)
class RawRecord:
    """One record; header names are bytes, and nothing is checked."""

    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[bytes | None, bytes | None], ...] = ()
    offset: int | None = None
    """Its offset delta; None: its place in the batch."""


def varint(number: int) -> bytes:
    """`number` as Kafka's zigzag varint."""
    made = bytearray()
    encode_varint(number, made.append)
    return bytes(made)


def sized(content: bytes | None) -> bytes:
    """`content` behind its length; null as -1."""
    return varint(-1) if content is None else varint(len(content)) + content


def record_bytes(record: RawRecord, place: int) -> bytes:
    """A record of a batch, format 2."""
    delta = place if record.offset is None else record.offset
    body = b"\0" + varint(0) + varint(delta) + sized(record.key) + sized(record.value)
    body += varint(len(record.headers)) + b"".join(
        sized(name) + sized(value) for name, value in record.headers
    )
    return varint(len(body)) + body


def compressed(content: bytes, codec: str) -> bytes:
    """`content` as producers send it with `codec`."""
    if codec == "none":
        return content
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(content))
    compressor = _compressor(codec)
    compressor.compress(content)
    return bytes(compressor.finish())


def _compressor(codec: str) -> Any:
    match codec:
        case "gzip":
            return cramjam.gzip.Compressor(1)
        case "lz4":
            return cramjam.lz4.Compressor(content_checksum=False, block_linked=False)
        case _:
            return cramjam.zstd.Compressor(1)


def blown_up(keys: Iterable[bytes], size: int, codec: str) -> bytes:
    """A batch of a record for each key, of the letter a `size` times; compressed as it is made."""
    compressor = _compressor(codec)
    count = 0
    for count, key in enumerate(keys, 1):
        start = b"\0" + varint(0) + varint(count - 1) + sized(key) + varint(size)
        compressor.compress(varint(len(start) + size + 1) + start)
        for at in range(0, size, len(_LETTERS)):
            compressor.compress(_LETTERS[: size - at])
        compressor.compress(varint(0))
    return RawBatch(bytes(compressor.finish()), count, CODECS[codec]).build()


@dataclass(frozen=True)
class RawBatch:
    """What the head of a batch says; by default what is true."""

    records: bytes
    """As they stand in the batch: compressed where `codec` says so."""
    count: int
    codec: int = 0
    attributes: int = 0
    """Added to the codec's bits."""
    last_offset_delta: int | None = None
    magic: int = 2
    crc: int | None = None
    base_offset: int = 0
    timestamp: int = 1_760_000_000_000
    producer: tuple[int, int, int] = field(default=(-1, -1, -1))
    """Id, epoch, base sequence."""

    def build(self) -> bytes:
        """The batch."""
        last = self.count - 1 if self.last_offset_delta is None else self.last_offset_delta
        rest = struct.pack(
            ">hiqqqhii",
            self.codec | self.attributes,
            last,
            self.timestamp,
            self.timestamp,
            *self.producer,
            self.count,
        )
        rest += self.records
        crc = calc_crc32c(rest) if self.crc is None else self.crc
        head = struct.pack(">qiibI", self.base_offset, 9 + len(rest), -1, self.magic, crc)
        return head + rest


def batch(records: Iterable[RawRecord], codec: str = "none", **more: Any) -> bytes:
    """A batch of `records` in which all is right but what `more` says; see `RawBatch`."""
    listed = list(records)
    content = b"".join(record_bytes(record, place) for place, record in enumerate(listed))
    return RawBatch(compressed(content, codec), len(listed), CODECS[codec], **more).build()


def produce(
    bootstrap: str, topic: str, partition: int, content: bytes, seconds: float = 120
) -> tuple[int, int]:
    """Sends `content` as the records of a partition: the broker's error code (0: none), the base offset."""
    give_up = time.monotonic() + seconds
    while True:
        code, offset = _produce(bootstrap, topic, partition, content, seconds)
        if code not in _NO_LEADER_YET or time.monotonic() > give_up:
            return code, offset
        time.sleep(0.2)


def _produce(bootstrap: str, topic: str, partition: int, content: bytes, seconds: float) -> tuple[int, int]:
    host, port = bootstrap.rsplit(":", 1)
    name = topic.encode()
    body = struct.pack(">hhih4s", _PRODUCE, _VERSION, 1, 4, b"test")
    body += struct.pack(">hhii", -1, -1, int(1000 * seconds), 1)
    body += struct.pack(">h", len(name)) + name + struct.pack(">iii", 1, partition, len(content)) + content
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        got = answer.read(size)
    at = 4 + 4 + 2 + len(name) + 4
    _, code, offset = struct.unpack_from(">ihq", got, at)
    return code, offset
