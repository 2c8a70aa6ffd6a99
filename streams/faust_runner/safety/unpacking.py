"""No record of a producer can end the fetch or exhaust the memory.

aiokafka unpacks each batch whole, and an exception of its parser ends the fetch for good: at a header name
that is no UTF-8, at bytes behind a compressed stream, at numbers of which Java cuts bits off. Here each
record is handed out, an unreadable one as `Unread`, and both wait until there is room.
"""

import struct
import weakref
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.structs import TopicPartition

from schemas.log_events import WRONG_CHECKSUM
from streams.faust_runner.safety.batch_reader import BatchReader
from streams.faust_runner.safety.memory_bound import MEMORY, RECORD_BYTES, Pause
from streams.faust_runner.safety.patches import Patch, patch
from streams.runtime.batch_header import HEADER_SIZE, MAGIC_AT, Header

log = structlog.get_logger(__name__)

_FRAME = struct.Struct(">qi")
_LEGACY_BYTES = 26
"""The smallest batch of the formats 0 and 1."""
CHECKSUM_ATTEMPTS = 3
"""How often a batch with a wrong checksum is fetched before it counts as unreadable."""
_wrong_checksums: dict[tuple[TopicPartition, int], int] = {}


class RawBatches:
    """The batches of a fetched partition, as in the log; in place of aiokafka's MemoryRecords."""

    def __init__(self, content: bytes | None) -> None:
        self._content = memoryview(content or b"")
        self._at = 0

    def size_in_bytes(self) -> int:
        """Length of all of it."""
        return len(self._content)

    def _end(self) -> int | None:
        """End of the next batch; None if it is incomplete: a fetch ends anywhere."""
        if len(self._content) - self._at < _FRAME.size:
            return None
        _, length = _FRAME.unpack_from(self._content, self._at)
        end = self._at + _FRAME.size + int(length)
        return end if end <= len(self._content) else None

    def has_next(self) -> bool:
        """Whether a whole batch follows."""
        return self._end() is not None

    def next_batch(self) -> memoryview:
        """The next batch. Raises CorruptRecordException if it is too short."""
        end = self._end()
        assert end is not None
        batch = self._content[self._at : end]
        if len(batch) < (_LEGACY_BYTES if len(batch) <= MAGIC_AT or batch[MAGIC_AT] < 2 else HEADER_SIZE):
            raise CorruptRecordException(f"a batch of {len(batch)} bytes")
        self._at = end
        return batch


def unpack_records(self: PartitionRecords) -> Iterator[Any]:
    """The records of a fetched partition; a `Pause` if there is no room for the next one yet."""
    # a generator in a reference cycle would stay counted until the garbage is collected
    return _unpack(weakref.proxy(self), BatchReader(self._tp, MEMORY))


def _unpack(self: Any, reader: BatchReader) -> Iterator[Any]:
    def follow(record: Any) -> Any:
        if not isinstance(record, Pause):
            self.next_fetch_offset = record.offset + 1
        return record

    while self._records.has_next():
        raw = self._records.next_batch()
        magic = raw[MAGIC_AT]
        batch: Any = LegacyRecordBatch(raw, magic) if magic < 2 else DefaultRecordBatch(raw)
        if self._check_crcs and not batch.validate_crc():
            if not _is_wrong_for_good(self._tp, self.next_fetch_offset):
                # the rest is fetched again
                return
            records = _wrong_checksum(self, raw, batch, reader)
        elif magic < 2:
            records = _legacy(self, raw, batch, reader)
        elif is_passed_over(self, batch):
            records = iter(())
        else:
            records = reader.records(raw, self.next_fetch_offset)
        # a loop would hold the record that it handed out last
        yield from map(follow, records)
        # the last records may be compacted away
        self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)


def is_passed_over(self: Any, batch: Any) -> bool:
    """Whether the batch is a marker, or of a transaction that was aborted; as aiokafka has it."""
    if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in self._aborted_producers:
            return True
    return bool(batch.is_control_batch)


def _is_wrong_for_good(tp: TopicPartition, position: int) -> bool:
    attempts = _wrong_checksums.pop((tp, position), 0) + 1
    if attempts < CHECKSUM_ATTEMPTS:
        _wrong_checksums[tp, position] = attempts
        WRONG_CHECKSUM.emit(
            log,
            topic=tp.topic,
            partition=tp.partition,
            offset=position,
            attempt=attempts,
        )
    return attempts >= CHECKSUM_ATTEMPTS


def _wrong_checksum(self: Any, raw: memoryview, batch: Any, reader: BatchReader) -> Iterator[Any]:
    header = Header(raw) if raw[MAGIC_AT] >= 2 else None
    position, last = self.next_fetch_offset, batch.next_offset - 1
    first = header.base_offset if header else position
    if not first <= position <= last:
        raise CorruptRecordException(
            f"{self._tp}: the batch at {position} has a wrong checksum and says that it holds the offsets "
            f"{first} to {last}: the broker's disk is damaged, restore the partition"
        )
    return reader.unreadable(raw, position, last, "its checksum is wrong", header)


def _legacy(self: Any, raw: memoryview, batch: Any, reader: BatchReader) -> Iterator[Any]:
    """Records of the formats 0 and 1, which only old logs have."""
    position = self.next_fetch_offset
    try:
        for record in batch:
            if record.offset < position:
                continue
            size = RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
            yield from reader.wait_for_room(size)
            position = record.offset + 1
            yield _counted(self._consumer_record(self._tp, record), size)
        return
    except Exception as error:  # noqa: BLE001  compiled code, which raises whatever its codecs do
        why = f"{type(error).__name__}: {error}"
    yield from reader.unreadable(raw, position, batch.next_offset - 1, why, None)


def _counted(record: Any, size: int) -> Any:
    record.checksum = MEMORY.hand_out(size)
    return record


def getall(self: FetchResult, max_records: int | None = None) -> list[Any]:
    """What may be handed out of a fetched partition now."""
    if not self.check_assignment(self._topic_partition) or not self.has_more():
        return []
    taken: list[Any] = []
    for record in self._partition_records:
        if isinstance(record, Pause):
            MEMORY.paused = min(record.seconds, MEMORY.paused or record.seconds)
            break
        taken.append(record)
        if max_records is not None and len(taken) >= max_records:
            break
    else:
        self._update_position()
        self._partition_records = None
        return taken
    self._update_position()
    return taken


PATCHES = (
    # compiled, so what is pinned is its only caller
    Patch(
        "unpacking",
        fetcher,
        "MemoryRecords",
        "59bf948fff47eed580671971252454daa614df479733f3bedfefe95bc4d8ad30",
        RawBatches,
        Fetcher._proc_fetch_request,
    ),
    patch(
        "unpacking",
        PartitionRecords,
        "_unpack_records",
        "b803e6d46480732c7a7faa8e784b338bcdd4e707ea67fba96c013654b04b8a08",
        unpack_records,
    ),
    patch(
        "unpacking",
        FetchResult,
        "getall",
        "3e717e30de5068d549dd41b231928c67a24e832a928d48bac5f485e448daa903",
        getall,
    ),
)
