"""What the heads of batches say of where records are; tests/faults asks a real broker."""

from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition

from streams.faust_runner.safety.memory_bound import MEMORY
from streams.faust_runner.safety.offset_probe import Fetched
from testkit.raw_batches import RawBatch, RawRecord, batch, blown_up

TP = TopicPartition("left", 0)
MIB = 1024 * 1024


def records(content: bytes, position: int) -> list[tuple[int | None, int]]:
    found = list(Fetched(TP, position, 10**9, None, content).records())
    assert (MEMORY.handed(), MEMORY.opened()) == (0, 0), "nothing is unpacked to find out"
    return found


def test_a_batch_holds_a_record_wherever_one_looks_into_it() -> None:
    content = blown_up([b"a", b"b", b"c"], 20 * MIB, "zstd") + batch([RawRecord()] * 2, base_offset=3)
    assert records(content, 0) == [(0, 3), (3, 5)]
    assert records(content, 2) == [(2, 3), (3, 5)]
    assert records(content, 3) == [(None, 3), (3, 5)]
    assert records(content, 4) == [(None, 3), (4, 5)]


def test_what_cannot_be_unpacked_is_no_hole() -> None:
    assert records(RawBatch(b"\xff" * 9, 3, 4).build(), 1) == [(1, 3)]
    # compacted, so that only its records would tell
    assert records(RawBatch(b"\xff" * 9, 3, 4, last_offset_delta=9).build(), 1) == [(1, 10)]


def test_what_was_compacted_away_is_a_hole() -> None:
    content = batch([RawRecord(offset=2), RawRecord(offset=5)], "zstd", last_offset_delta=9)
    assert [records(content, start) for start in (0, 2, 3, 6)] == [
        [(2, 10)],
        [(2, 10)],
        [(5, 10)],
        [(None, 10)],
    ]


def test_a_batch_of_an_old_format_holds_a_record() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, MIB)
    builder.append(0, timestamp=1, key=b"k", value=b"v")
    assert records(bytes(builder.build()), 0) == [(0, 1)]
