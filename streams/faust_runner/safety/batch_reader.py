"""The records of a batch, handed out one by one as memory allows.

aiokafka's compiled parser unpacks a batch whole, and gives up at header names that are no UTF-8. It reads
small batches here, which are nearly all. What it cannot read, and what is large, is read from front to back,
as the broker reads it: only fields that the broker checks are trusted. It checks neither the lengths of
compressed records nor the offsets of uncompressed ones.
"""

import hashlib
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.core.unread import HEAD_BYTES, LARGEST_BYTES, Unread
from streams.faust_runner.safety.batch_content import Content, as_uncompressed
from streams.faust_runner.safety.decompression import Unreadable, pieces
from streams.faust_runner.safety.memory_bound import (
    GO_ON,
    HEADER_BYTES,
    MIB,
    NO_ROOM,
    RECORD_BYTES,
    Memory,
)
from streams.runtime.batch_header import HEADER_SIZE, Header, bounded

SMALL_BYTES = MIB
"""Larger batches are read piece by piece, one at a time."""
PAUSE_BYTES = 16 * MIB
"""Bytes skipped in one go: heartbeats run in the same thread."""

Headers = tuple[tuple[str, bytes | None], ...]


class _Fields(NamedTuple):
    """Content of a record; `cut`: what of it is too large to be kept."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    size: int
    cut: str = ""
    value_bytes: int = 0
    value_sha256: str = ""


class BatchReader:
    """Reads the batches of one fetched partition; waits for room in `memory` under its own name.

    A paused generator holds no record that it handed out, which would stay counted.
    """

    def __init__(self, tp: TopicPartition, memory: Memory) -> None:
        self._tp = tp
        self._memory = memory
        self._position = 0
        self._read: _Fields | None = None
        """Read, and not handed out yet."""

    def records(self, batch: memoryview, position: int) -> Iterator[Any]:
        """Records of `batch` from the offset `position` on, each a ConsumerRecord; here and there a `Pause`.

        What cannot be read, or not kept, comes as a record with an `Unread` for its value. A record's
        `checksum` is what `memory` counts it by.
        """
        header = Header(batch)
        self._position = max(position, header.base_offset)
        try:
            yield from self._records(header, batch)
            return
        except Unreadable as error:
            why = str(error)
        yield from self.unreadable(batch, self._position, header.last_offset, why, header)

    def unreadable(
        self, batch: memoryview, first: int, last: int, why: str, header: Header | None
    ) -> Iterator[Any]:
        """One record in place of those of `batch` from `first` to `last`; formats 0, 1 have no header."""
        size = RECORD_BYTES + len(batch)
        yield from self.wait_for_room(size)
        reason = f"the batch of the offsets {first} to {last} cannot be read: {why}"
        self._read = _Fields(None, Unread.batch(bytes(batch), reason, max(first, last)), (), size)
        yield self._hand_out(header, first, header.timestamp(0) if header else 0)

    def wait_for_room(self, size: int) -> Iterator[Any]:
        """Pauses until `size` bytes may be handed out."""
        while not self._memory.has_room(size, self):
            yield NO_ROOM

    def _records(self, header: Header, batch: memoryview) -> Iterator[Any]:
        if header.codec == 0:
            yield from self._read_small(header, batch)
            return
        while not self._memory.may_open(SMALL_BYTES):
            yield NO_ROOM
        packed = batch[HEADER_SIZE:]
        if (unpacked := _unpacked(header.codec, packed)) is not None:
            batch = as_uncompressed(batch, unpacked)
            del unpacked
            with self._memory.open(len(batch)):
                yield from self._read_small(header, batch)
            return
        while (right := self._memory.open_large()) is None:
            yield NO_ROOM
        with right:
            yield from self._read_through(header, Content(pieces(header.codec, packed)))

    def _read_small(self, header: Header, batch: memoryview) -> Iterator[Any]:
        if len(batch) <= HEADER_SIZE + SMALL_BYTES and header.is_whole:
            yield from self._read_compiled(header, batch)
        if self._position <= header.last_offset:
            yield from self._read_through(header, Content(iter((batch[HEADER_SIZE:],))))

    def _read_compiled(self, header: Header, batch: memoryview) -> Iterator[Any]:
        """Records up to the first that aiokafka cannot read, or reads otherwise than the broker."""
        records = iter(DefaultRecordBatch(batch))
        for offset in range(header.base_offset, header.last_offset + 1):
            try:
                record = next(records)
            except Exception:  # noqa: BLE001  compiled code; the other reader finds the cause
                return
            headers = tuple(record.headers)
            size = _size(record.key, record.value, headers)
            if record.offset != offset or size > LARGEST_BYTES:
                return
            if offset >= self._position:
                self._read, timestamp = _Fields(record.key, record.value, headers, size), record.timestamp
                del record, headers
                yield from self.wait_for_room(size)
                yield self._hand_out(header, offset, bounded(timestamp))

    def _read_through(self, header: Header, content: Content) -> Iterator[Any]:
        before, paused_at = header.base_offset - 1, 0
        for place in range(header.count):
            size = content.number()
            end = content.passed + size
            content.byte()
            timestamp = header.timestamp(content.number(64))
            delta = content.number()
            offset = header.base_offset + (place if header.is_whole else delta)
            if not before < offset <= header.last_offset:
                raise Unreadable(f"offset {offset} follows {before}, and its last is {header.last_offset}")
            before = offset
            is_large = size > LARGEST_BYTES
            if offset >= self._position:
                yield from self.wait_for_room(RECORD_BYTES + (2 * HEAD_BYTES if is_large else size))
            if is_large:
                self._read = yield from _read_head(content, end)
            else:
                self._read = _read_fields(content, end)
            if offset >= self._position:
                yield self._hand_out(header, offset, timestamp)
            elif content.passed - paused_at > PAUSE_BYTES:
                paused_at = content.passed
                yield GO_ON

    def _hand_out(self, header: Header | None, offset: int, timestamp: int) -> Any:
        fields, self._read = self._read, None
        assert fields is not None
        self._position = offset + 1
        value = fields.value
        if fields.cut:
            value = Unread.record(
                value or b"",
                f"the record was not read whole: {fields.cut}",
                offset,
                fields.value_bytes,
                fields.value_sha256,
            )
        return ConsumerRecord(
            self._tp.topic,
            self._tp.partition,
            offset,
            timestamp,
            header.timestamp_type if header else 0,
            fields.key,
            value,
            # a field without other use carries what the record is counted by
            self._memory.hand_out(fields.size),
            len(fields.key) if fields.key is not None else -1,
            len(value) if value is not None else -1,
            fields.headers,
        )


def _unpacked(codec: int, packed: memoryview) -> list[bytes] | None:
    """What `packed` unpacks to; None where that is large, or not all of it can be unpacked."""
    parts, size = [], 0
    try:
        for part in pieces(codec, packed):
            parts.append(part)
            size += len(part)
            if size > SMALL_BYTES:
                return None
    except Unreadable:
        return None
    return parts


def _size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    held = sum(HEADER_BYTES + len(name) + len(content or b"") for name, content in headers)
    return RECORD_BYTES + len(key or b"") + len(value or b"") + held


def _read_fields(content: Content, end: int) -> _Fields:
    """A record from its key on. `end`: its end according to the producer."""
    left = LARGEST_BYTES

    def take() -> bytes | None:
        nonlocal left
        size = content.number()
        if size < 0:
            return None
        left -= size
        if left < 0:
            raise Unreadable(f"a record is larger than it says, and than {LARGEST_BYTES} bytes")
        return content.take(size)

    key, value = take(), take()
    count = content.number()
    if count < 0:
        raise Unreadable(f"a record has {count} headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        # what holds a header takes more than the header: they may not all find room
        if left < HEADER_BYTES + end - content.passed:
            for _ in content.parts(end - content.passed):
                pass
            cut = f"it has {count} headers, {len(headers)} of them were read"
            digest = hashlib.sha256(value or b"").hexdigest()
            return _Fields(
                key, value, tuple(headers), RECORD_BYTES + LARGEST_BYTES, cut, len(value or b""), digest
            )
        left -= HEADER_BYTES
        name = take()
        if name is None:
            raise Unreadable("a header has no name")
        headers.append((name.decode("utf-8", "backslashreplace"), take()))
    return _Fields(key, value, tuple(headers), RECORD_BYTES + LARGEST_BYTES - left)


def _read_head(content: Content, end: int) -> Generator[Any, None, _Fields]:
    """The same of a record that is too large: its key and the head of its value."""
    key: bytes | None = None
    size = content.number()
    if size > HEAD_BYTES:
        yield from _passed_over(content, size)
    elif size >= 0:
        key = content.take(size)
    value: bytes | None = None
    digest = hashlib.sha256()
    size = max(content.number(), 0)
    value = content.take(min(size, HEAD_BYTES))
    digest.update(value)
    yield from _passed_over(content, size - len(value), digest)
    yield from _passed_over(content, end - content.passed)
    cut = f"it has more than {LARGEST_BYTES} bytes"
    return _Fields(key, value, (), RECORD_BYTES + 2 * HEAD_BYTES, cut, size, digest.hexdigest())


def _passed_over(content: Content, size: int, digest: Any = None) -> Iterator[Any]:
    since = 0
    for part in content.parts(size):
        if digest is not None:
            digest.update(part)
        since += len(part)
        if since > PAUSE_BYTES:
            since = 0
            yield GO_ON
