"""The records of a batch: those that aiokafka reads come as it reads them, the others as the broker does."""

import gzip
import hashlib
import struct
from typing import Any

import cramjam
import lz4.frame
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.core.unread import Unread
from streams.faust_runner.safety import batch_content, batch_reader
from streams.faust_runner.safety.batch_reader import HEAD_BYTES, SMALL_BYTES, BatchReader
from streams.faust_runner.safety.memory_bound import LARGEST_BYTES, MIB, Memory, Pause
from testkit.raw_batches import (
    CODECS,
    RawBatch,
    RawRecord,
    batch,
    blown_up,
    compressed,
    record_bytes,
    sized,
    varint,
)

TP = TopicPartition("left", 3)
LOG_APPEND = 0x08


def read(content: bytes, position: int = 0, memory: Memory | None = None) -> list[Any]:
    """What a reader hands out, each let go before the next one comes."""
    found = []
    for record in BatchReader(TP, memory or Memory()).records(memoryview(content), position):
        if not isinstance(record, Pause):
            record.checksum = None
            found.append(record)
    return found


def said(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


OPTIONAL = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.builds(
        RawRecord,
        OPTIONAL,
        st.none() | st.binary(max_size=40) | st.just(b"x" * 300_000),
        st.lists(st.tuples(st.text(max_size=10).map(str.encode), OPTIONAL), max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=8,
)


@given(RECORDS, st.sampled_from(sorted(CODECS)), st.integers(0, 10**12), st.sampled_from([0, LOG_APPEND]))
def test_what_aiokafka_reads_is_read_the_same(
    records: list[RawRecord], codec: str, base: int, attributes: int
) -> None:
    content = batch(records, codec, base_offset=base, attributes=attributes)
    expected = [said(record) for record in DefaultRecordBatch(content)]
    assert [said(record) for record in read(content)] == expected
    assert [said(record) for record in read(content, base + 1)] == expected[1:]
    for record in read(content):
        assert (record.topic, record.partition, record.timestamp_type) == ("left", 3, int(attributes != 0))


@given(RECORDS, st.sampled_from(sorted(CODECS)))
def test_the_reader_for_what_aiokafka_cannot_read_reads_the_rest_too(
    records: list[RawRecord], codec: str
) -> None:
    content = batch(records, codec)
    expected = [said(record) for record in DefaultRecordBatch(content)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_reader, "SMALL_BYTES", -1)
        assert [said(record) for record in read(content)] == expected


GOOD = RawRecord(b"k", b"v", ((b"ok", b"1"),))
HOSTILE_NAME = RawRecord(b"h", b"w", ((b"\xff\xfe", b"x"), (b"caf\xe9", None), (b"\xed\xa0\x80", b"")))


@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_no_utf8_is_escaped(codec: str) -> None:
    content = batch([GOOD, HOSTILE_NAME, GOOD], codec, base_offset=7)
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(content))
    found = read(content)
    assert [record.offset for record in found] == [7, 8, 9]
    assert found[1].headers == (("\\xff\\xfe", b"x"), ("caf\\xe9", None), ("\\xed\\xa0\\x80", b""))
    assert (found[1].key, found[1].value) == (b"h", b"w")
    assert found[2].headers == (("ok", b"1"),)


@pytest.mark.parametrize("deltas", [(0, 0), (1, 0), (0, 1000), (-5, 1)])
def test_offsets_are_counted_where_none_is_missing(deltas: tuple[int, int]) -> None:
    records = [RawRecord(b"a", offset=deltas[0]), RawRecord(b"b", offset=deltas[1])]
    assert [(record.offset, record.key) for record in read(batch(records, base_offset=5))] == [
        (5, b"a"),
        (6, b"b"),
    ]


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_compacted_batch_keeps_its_offsets(codec: str) -> None:
    records = [RawRecord(b"a", offset=2), RawRecord(b"b", offset=5)]
    content = batch(records, codec, base_offset=10, last_offset_delta=7)
    assert [record.offset for record in read(content)] == [12, 15]
    assert [record.offset for record in read(content, 13)] == [15]


def test_a_compacted_batch_with_offsets_that_go_back_is_unreadable_from_there() -> None:
    records = [RawRecord(b"a", offset=5), RawRecord(b"b", offset=2)]
    first, rest = read(batch(records, base_offset=10, last_offset_delta=7))
    assert (first.offset, rest.offset, rest.value.last_offset) == (15, 16, 17)
    assert isinstance(rest.value, Unread)


def body(value: bytes, start: bytes = b"\0") -> bytes:
    return start + varint(0) + varint(0) + sized(b"k") + value + varint(0)


XERIAL = b"\x82SNAPPY\0"


def xerial(*blocks: bytes, version: int = 1) -> bytes:
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
    return (
        XERIAL
        + struct.pack(">ii", version, 1)
        + b"".join(struct.pack(">i", len(one)) + one for one in packed)
    )


ONE, TWO = record_bytes(RawRecord(b"k", b"v"), 0), record_bytes(RawRecord(b"k", b"w"), 1)
TAKEN = {
    "length too small": (RawBatch(compressed(varint(5) + body(sized(b"v")), "zstd"), 1, 4), [b"v"]),
    "length too large": (RawBatch(compressed(varint(900) + body(sized(b"v")), "zstd"), 1, 4), [b"v"]),
    "number of 35 bits": (RawBatch(varint(12) + body(b"\x82\x80\x80\x80\x70v"), 1), [b"v"]),
    "number with zeros": (RawBatch(varint(12) + body(b"\x82\x80\x80\x80\x00v"), 1), [b"v"]),
    "attributes": (RawBatch(varint(8) + body(sized(b"v"), b"\xff"), 1), [b"v"]),
    "value of -7 bytes": (RawBatch(varint(7) + body(varint(-7)), 1), [None]),
    "behind gzip": (RawBatch(gzip.compress(ONE) + b"garbage", 1, 1), [b"v"]),
    "zeros behind gzip": (RawBatch(gzip.compress(ONE) + bytes(9), 1, 1), [b"v"]),
    "two members": (RawBatch(gzip.compress(ONE) + gzip.compress(TWO), 2, 1), [b"v", b"w"]),
    "behind lz4": (RawBatch(compressed(ONE, "lz4") + bytes(9), 1, 3), [b"v"]),
    "two frames": (RawBatch(compressed(ONE, "zstd") + compressed(TWO, "zstd"), 2, 4), [b"v", b"w"]),
    "skippable frame": (
        RawBatch(struct.pack("<II", 0x184D2A50, 4) + b"skip" + compressed(ONE, "zstd"), 1, 4),
        [b"v"],
    ),
    "xerial": (RawBatch(xerial(ONE, TWO), 2, 2), [b"v", b"w"]),
    "xerial version 7": (RawBatch(xerial(ONE, version=7), 1, 2), [b"v"]),
    "xerial twice": (RawBatch(xerial(ONE) + xerial(TWO), 2, 2), [b"v", b"w"]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_broker_takes_is_read(name: str) -> None:
    made, values = TAKEN[name]
    found = read(made.build())
    assert [record.value for record in found] == values
    assert not any(isinstance(record.value, Unread) for record in found)


def broken_checksum() -> bytes:
    packed = bytearray(lz4.frame.compress(ONE + TWO, content_checksum=True))
    packed[-1] ^= 1
    return bytes(packed)


ZSTD = compressed(ONE + TWO, "zstd")
BROKEN = {
    "lz4 checksum": (RawBatch(broken_checksum(), 2, 3), 0, "cannot be decompressed"),
    "no codec": (RawBatch(ONE + TWO, 2, 5), 0, "codec 5 is unknown"),
    "garbage": (RawBatch(b"hello world", 2, 4), 0, "cannot be decompressed"),
    "cut off": (RawBatch(ZSTD[: len(ZSTD) // 2], 2, 4), 0, "ZstdError|end within a frame|end before"),
    "gzip cut off": (RawBatch(gzip.compress(ONE + TWO)[:-14], 2, 1), 1, "end"),
    "snappy of 1 GiB": (RawBatch(b"\x80\x80\x80\x80\x04", 1, 2), 0, "allowed are 134217728"),
    "xerial block of -4": (RawBatch(xerial(ONE) + struct.pack(">i", -4), 2, 2), 1, "snappy block of -4"),
    "count too large": (RawBatch(ONE, 2), 1, "end before its records"),
    "null name": (RawBatch(batch([GOOD, RawRecord(b"k", b"v", ((None, b"x"),))])[61:], 2), 1, "no name"),
    "-1 headers": (RawBatch(varint(8) + body(sized(b"v"))[:-1] + varint(-1), 1), 0, "-1 headers"),
    "endless number": (RawBatch(varint(9) + body(b"\xff" * 9), 1), 0, "too many bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_comes_as_its_bytes(name: str) -> None:
    made, readable, why = BROKEN[name]
    content = made.build()
    *before, last = read(content)
    assert [record.offset for record in before] == list(range(readable))
    assert not any(isinstance(record.value, Unread) for record in before)
    unread = last.value
    assert isinstance(unread, Unread)
    assert (last.key, last.offset, unread.last_offset) == (None, readable, made.count - 1)
    assert (unread.kind, bytes(unread), unread.whole_bytes) == ("unreadable_batch", content, len(content))
    assert unread.whole_sha256 == hashlib.sha256(content).hexdigest()
    assert any(part in unread.reason for part in why.split("|"))
    assert f"offsets {readable} to {made.count - 1}" in unread.reason


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_of_a_record_that_is_too_large_the_head_is_kept(codec: str) -> None:
    size = LARGEST_BYTES + 1
    first, second = read(blown_up([b"a", b"b"], size, codec))
    assert [(first.offset, first.key), (second.offset, second.key)] == [(0, b"a"), (1, b"b")]
    unread = second.value
    assert isinstance(unread, Unread)
    assert (unread.kind, unread.last_offset, bytes(unread)) == ("too_large", 1, b"a" * HEAD_BYTES)
    assert (unread.whole_bytes, unread.whole_sha256) == (size, hashlib.sha256(b"a" * size).hexdigest())
    assert str(LARGEST_BYTES) in unread.reason


def test_a_record_of_which_the_key_is_too_large_is_not_kept_either() -> None:
    key = b"k" * (LARGEST_BYTES + 1)
    first, second = read(batch([RawRecord(key, b"v", ((b"\xff", b"h"),)), GOOD], "zstd"))
    assert (first.key, bytes(first.value), first.value.kind) == (None, b"v", "too_large")
    assert said(second)[2:] == (b"k", b"v", (("ok", b"1"),))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_record_with_too_many_headers_keeps_its_key_and_value(codec: str) -> None:
    many = RawRecord(b"k", b"v", ((b"", b""),) * 300_000)
    first, second = read(batch([many, GOOD], codec))
    assert (first.key, bytes(first.value), first.value.kind) == (b"k", b"v", "too_large")
    assert "300000 headers" in first.value.reason
    assert len(first.headers) < 200_000
    assert (second.offset, second.value) == (1, b"v")


def test_a_batch_that_unpacks_to_more_than_the_limit_is_unreadable_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_content, "BATCH_BYTES", 3 * MIB)
    found = read(blown_up([b"a", b"b", b"c", b"d"], MIB, "zstd"))
    assert [record.offset for record in found] == [0, 1, 2]
    assert found[-1].value.kind == "unreadable_batch"
    assert found[-1].value.last_offset == 3


@pytest.mark.parametrize("first_timestamp", [-(2**62), 2**62, -1, 10**15])
def test_a_timestamp_is_one_that_a_datetime_can_say(first_timestamp: int) -> None:
    from streams.core.message import from_milliseconds

    for codec in ("none", "zstd"):
        (record,) = read(batch([HOSTILE_NAME], codec, timestamp=first_timestamp))
        # as Faust gives it to the runner
        from_milliseconds(round(record.timestamp / 1000.0 * 1000))
    (record,) = read(batch([GOOD], timestamp=first_timestamp))
    from_milliseconds(round(record.timestamp / 1000.0 * 1000))


def test_a_small_batch_waits_for_the_others_that_are_open() -> None:
    memory = Memory()
    value = b"x" * (SMALL_BYTES // 2 - 100)
    content = batch([RawRecord(b"k", value)] * 2, "zstd")
    open_ones = []
    while True:
        records = BatchReader(TP, memory).records(memoryview(content), 0)
        if isinstance(record := next(records), Pause):
            break
        open_ones.append(records)
        record.checksum = None
    assert 8 < len(open_ones) < 30
    assert isinstance(next(records), Pause)
    for one in open_ones[:2]:
        list(one)
    assert next(records).value == value


def test_one_large_batch_is_open_at_a_time() -> None:
    memory = Memory()
    content = blown_up([b"a", b"b", b"c"], MIB, "zstd")
    first, second = (BatchReader(TP, memory).records(memoryview(content), 0) for _ in range(2))
    assert next(first).key == b"a"
    assert isinstance(next(second), Pause)
    assert next(first).key == b"b"
    assert isinstance(next(second), Pause)
    # the partition went elsewhere, or is sought
    del first
    assert [record.key for record in second if not isinstance(record, Pause)] == [b"a", b"b", b"c"]


def test_what_is_passed_over_lets_the_heartbeats_through() -> None:
    found = list(BatchReader(TP, Memory()).records(memoryview(blown_up([b"a"], 100 * MIB, "zstd")), 0))
    assert sum(isinstance(one, Pause) for one in found) >= 5
    skipped = list(BatchReader(TP, Memory()).records(memoryview(blown_up([b"a"] * 60, MIB, "zstd")), 59))
    assert sum(isinstance(one, Pause) for one in skipped) >= 3
    assert [one.offset for one in skipped if not isinstance(one, Pause)] == [59]
