"""A fetched partition as aiokafka's fetcher unpacks it, with the patches in place."""

import gc
import random
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streams.core.unread import Unread
from streams.faust_runner.safety import unpacking
from streams.faust_runner.safety.memory_bound import HANDED_BYTES, MEMORY, MIB, Pause
from streams.faust_runner.safety.unpacking import RawBatches
from streams.runtime.batch_header import Header
from testkit.raw_batches import CODECS, RawBatch, RawRecord, batch, blown_up, record_bytes, sized, varint

TP = TopicPartition("left", 0)
CONTROL, TRANSACTIONAL = 0x20, 0x10


@pytest.fixture(autouse=True)
def fresh_account() -> Iterator[None]:
    """Nothing may stay counted, nor wait for the collector to be freed."""
    gc.disable()
    MEMORY.paused = None
    yield
    assert (MEMORY.handed(), MEMORY.opened()) == (0, 0)
    assert MEMORY.open_large() is not None
    gc.enable()


@dataclass
class Position:
    """Where the consumer is."""

    position: int
    paused: bool = False

    def consumed_to(self, offset: int) -> None:
        self.position = offset


def fetched(
    content: bytes, position: int = 0, aborted: Any = None, level: int = READ_COMMITTED
) -> FetchResult:
    """A fetch of `content`."""
    made = PartitionRecords(
        TP,
        fetcher.MemoryRecords(content),
        aborted,
        position,
        None,
        None,
        check_crcs=True,
        isolation_level=level,
    )
    state = Position(position)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    return FetchResult(TP, assignment=assignment, partition_records=made, backoff=0)


def position_of(result: FetchResult) -> int:
    found: int = result._assignment.state_value(TP).position
    return found


def everything(result: FetchResult, at_once: int = 500) -> list[Any]:
    """All of it, as a stage would that finishes each record before it asks for more."""
    found = []
    for _ in range(10_000):
        if not result.has_more():
            return found
        for record in result.getall(at_once):
            # finished at once; what it holds is looked at later
            record.checksum = None
            found.append(record)
    raise AssertionError("it stands still")


def test_the_fetcher_uses_the_batches_of_the_patch() -> None:
    assert fetcher.MemoryRecords is RawBatches


GOOD, HOSTILE = RawRecord(b"k", b"v"), RawRecord(b"k", b"v", ((b"\xff", b"1"),))


@pytest.mark.parametrize("codec", CODECS)
def test_batches_follow_one_another_whatever_is_in_them(codec: str) -> None:
    content = b"".join(
        (
            batch([GOOD, GOOD], codec, base_offset=10),
            batch([HOSTILE], codec, base_offset=12),
            RawBatch(b"\xff" * 20, 3, CODECS[codec] or 7, base_offset=13).build(),
            batch([GOOD], codec, base_offset=16),
        )
    )
    # a fetch ends anywhere
    content += batch([GOOD], codec, base_offset=17)[:-1]
    result = fetched(content, 11)
    found = everything(result)
    assert [record.offset for record in found] == [11, 12, 13, 16]
    assert found[1].headers == (("\\xff", b"1"),)
    assert (found[2].value.kind, found[2].value.last_offset) == ("unreadable_batch", 15)
    assert position_of(result) == 17


def test_an_empty_fetch_is_no_batch() -> None:
    for content in (None, b"", b"\0" * 11, batch([GOOD])[:-1]):
        assert not RawBatches(content).has_next()


@pytest.mark.parametrize("length", [-100, -12, 0, 5, 40])
def test_a_length_that_no_batch_has_is_damage(length: int) -> None:
    frame = (0).to_bytes(8, "big") + length.to_bytes(4, "big", signed=True) + b"\0\0\0\0\2" + bytes(100)
    batches = RawBatches(frame)
    if batches.has_next():
        with pytest.raises(CorruptRecordException):
            batches.next_batch()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 6))
def test_every_record_comes_once_however_many_are_asked_for(
    sizes: list[int], at_once: int, skip: int
) -> None:
    content, offset = b"", 0
    for count in sizes:
        content += batch([GOOD] * count, base_offset=offset)
        offset += count
    start = min(skip, offset - 1)
    assert [record.offset for record in everything(fetched(content, start), at_once)] == list(
        range(start, offset)
    )


def marker(kind: int, producer: int, base: int) -> bytes:
    key = b"\0\0" + kind.to_bytes(2, "big")
    return RawBatch(
        record_bytes(RawRecord(key, bytes(6)), 0),
        1,
        attributes=CONTROL | TRANSACTIONAL,
        producer=(producer, 0, -1),
        base_offset=base,
    ).build()


def said(producer: int, base: int) -> bytes:
    return batch([GOOD], attributes=TRANSACTIONAL, producer=(producer, 0, 0), base_offset=base)


@pytest.mark.parametrize(
    ("level", "offsets"), [(READ_COMMITTED, [1, 4, 6]), (READ_UNCOMMITTED, [0, 1, 4, 6])]
)
def test_what_was_aborted_is_passed_over_and_markers_are_no_records(level: int, offsets: list[int]) -> None:
    content = b"".join(
        (
            said(7, 0),
            said(8, 1),
            marker(0, 7, 2),
            marker(1, 8, 3),
            said(7, 4),
            marker(1, 7, 5),
            batch([GOOD], base_offset=6),
            marker(1, 8, 7),
        )
    )
    result = fetched(content, aborted=[(7, 0)], level=level)
    assert [record.offset for record in everything(result)] == offsets
    assert position_of(result) == 8


def test_a_wrong_checksum_is_fetched_again_and_then_unreadable() -> None:
    content = batch([GOOD, GOOD], base_offset=5, crc=1) + batch([GOOD], base_offset=7)
    with capture_logs() as logs:
        for attempt in (1, 2):
            result = fetched(content, 5)
            assert result.getall() == []
            assert not result.has_more(), "what is dropped is fetched again"
            assert position_of(result) == 5
            assert logs[-1]["attempt"] == attempt
        first, second = everything(fetched(content, 5))
    assert (first.offset, first.value.last_offset, first.value.kind) == (5, 6, "unreadable_batch")
    assert "checksum" in first.value.reason
    assert second.offset == 7


def test_a_wrong_checksum_of_a_batch_that_says_nothing_of_sense_is_damage() -> None:
    content = batch([GOOD], base_offset=50_000, crc=1)
    for _ in range(2):
        fetched(content, 5).getall()
    with pytest.raises(CorruptRecordException, match="restore the partition"):
        fetched(content, 5).getall()


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2])
def test_batches_of_old_formats_are_read(magic: int, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 1024 * 1024)
    for offset in range(3):
        builder.append(offset, timestamp=9999 if magic else None, key=b"k", value=b"v%d" % offset)
    found = everything(fetched(bytes(builder.build()), 1))
    assert [(record.offset, record.value) for record in found] == [(1, b"v1"), (2, b"v2")]


def test_a_batch_of_an_old_format_that_cannot_be_read_comes_as_its_bytes() -> None:
    builder = LegacyRecordBatchBuilder(1, 1, 1024 * 1024)
    builder.append(0, timestamp=1, key=b"k", value=b"v")
    content = bytearray(builder.build())
    content[-12] ^= 0xFF
    found: list[Any] = []
    for _ in range(unpacking.CHECKSUM_ATTEMPTS):
        found = everything(fetched(bytes(content)))
    (record,) = found
    assert isinstance(record.value, Unread)
    assert (record.offset, bytes(record.value)) == (0, bytes(content))


def test_records_wait_for_room_and_go_on_where_they_were() -> None:
    content = blown_up([b"%d" % number for number in range(60)], MIB, "zstd")
    result = fetched(content)
    first = result.getall(500)
    assert HANDED_BYTES // MIB - 2 <= len(first) < HANDED_BYTES // MIB
    assert MEMORY.paused is not None
    assert result.getall(500) == []
    assert result.has_more()
    assert position_of(result) == len(first)
    first.clear()
    rest = everything(result)
    assert [record.offset for record in rest][-1] == 59
    assert position_of(result) == 60


def test_a_fetch_that_is_dropped_half_way_counts_no_more() -> None:
    small, large = batch([GOOD] * 5, "zstd"), blown_up([b"a", b"b"], MIB, "zstd")
    for content in (small, large):
        result = fetched(content)
        # the account is checked by the fixture, without help of the collector
        assert len(result.getall(1)) == 1
        dropped = weakref.ref(result._partition_records)
        del result
        assert dropped() is None


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_partitions_that_stand_still_hold_nothing_that_is_finished(codec: str) -> None:
    content = batch([RawRecord(b"k", b"x" * (15 * MIB))] * 2, codec)
    results = [fetched(content) for _ in range(5)]
    finished = 0
    for _ in range(40):
        for result in [each for each in results if each.has_more()]:
            finished += len(result.getall(1))
            assert MEMORY.handed() == 0
    assert finished == 10


@pytest.mark.parametrize("seed", range(4))
def test_partitions_of_any_kind_come_whole_and_in_bounds(seed: int) -> None:
    """Large and small batches on many partitions; some pause, and the stage finishes late and in order."""
    chance = random.Random(seed)
    kinds = [
        batch([GOOD] * 300, "lz4"),
        batch([GOOD] * 20) + batch([RawRecord(b"k", b"y" * (3 * MIB)), GOOD], base_offset=20),
        blown_up([b"%d" % number for number in range(30)], 2 * MIB, "zstd"),
        blown_up([b"a", b"b", b"c"], 15 * MIB, "gzip"),
        blown_up([b"a", b"b"], 20 * MIB, "lz4"),
        batch([HOSTILE] * 10, "zstd") + batch([RawRecord(b"k", b"z" * MIB)] * 3, "zstd", base_offset=10),
    ]
    wanted = {content: sum(Header(raw).count for raw in batches_of(content)) for content in kinds}
    partitions = [fetched(chance.choice(kinds)) for _ in range(14)]
    expected = [wanted[bytes(each._partition_records._records._content)] for each in partitions]
    seen: list[list[int]] = [[] for _ in partitions]
    queue: list[Any] = []
    for _ in range(4_000):
        for place, each in enumerate(partitions):
            if each.has_more() and chance.random() < 0.8:
                records = each.getall(50)
                seen[place] += [record.offset for record in records]
                queue += records
                del records
        held = sum(len(record.value or b"") + len(record.key or b"") for record in queue)
        assert held <= MEMORY.handed() <= HANDED_BYTES
        del queue[: chance.randrange(1, 40)]
        if not queue and not any(each.has_more() for each in partitions):
            break
    assert [len(offsets) for offsets in seen] == expected
    assert all(offsets == list(range(len(offsets))) for offsets in seen)


def batches_of(content: bytes) -> Iterator[memoryview]:
    batches = RawBatches(content)
    while batches.has_next():
        yield batches.next_batch()


def test_a_partition_that_was_sought_meanwhile_hands_out_nothing() -> None:
    result = fetched(batch([GOOD] * 5))
    assert len(result.getall(2)) == 2
    result._assignment.state_value(TP).position = 0
    assert result.getall() == []
    assert not result.has_more()


def test_a_number_with_more_bits_than_java_has_is_read_as_java_reads_it() -> None:
    body = b"\0" + varint(0) + varint(0) + sized(b"k") + b"\x82\x80\x80\x80\x70v" + varint(0)
    (record,) = everything(fetched(RawBatch(varint(len(body)) + body, 1).build()))
    assert record.value == b"v"


def test_a_pause_is_no_record() -> None:
    assert not isinstance(everything(fetched(batch([GOOD])))[0], Pause)
