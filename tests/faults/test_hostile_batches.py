"""Batches that the broker takes and that aiokafka cannot unpack, or not within the memory."""

import gzip
import hashlib
import itertools
import json
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import cramjam
import lz4.frame
import psutil
import pytest
from aiokafka.partitioner import murmur2

from streams.core.dispositions import DISPOSITIONS
from testkit.faust.harness import Bed
from testkit.faust.pairs import DEAD_LETTERS, LEFT, Half
from testkit.faust.workers import Worker, running, wait_until_drained
from testkit.raw_batches import (
    CODECS,
    RawBatch,
    RawRecord,
    batch,
    blown_up,
    compressed,
    produce,
    record_bytes,
    sized,
    varint,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeBed = Callable[..., Bed]


def half(name: str, *headers: tuple[bytes, bytes | None]) -> RawRecord:
    """A good left half."""
    return RawRecord(name.encode(), Half(id=name, number=1).model_dump_json().encode(), headers)


def feed(bed: Bed, content: bytes, names: Iterable[str], partition: int = 0) -> None:
    """Sends a batch; `names` are how its records are counted, in order."""
    code, first = produce(bed.bootstrap, bed.kafka.physical(LEFT), partition, content)
    assert code == 0, f"the broker refused the batch: {code}"
    for place, name in enumerate(names):
        bed.fed[LEFT, partition, first + place] = name


def outcomes(bed: Bed) -> dict[str, str]:
    """Outcome and reason by the name of what was fed; every input has exactly one."""
    found = {}
    for _, value, _ in bed.read(DISPOSITIONS):
        one = json.loads(value or b"")
        name = bed.fed[one["topic"], one["partition"], one["offset"]]
        found[name] = f"{one['outcome']}/{one['reason']}"
    return found


def lying(body: bytes, codec: str = "none", said: int = 0) -> bytes:
    """A batch of one record, whose length is said to differ by `said`."""
    content = varint(len(body) + said) + body
    return RawBatch(compressed(content, codec), 1, CODECS[codec]).build()


def readable_batches() -> dict[str, bytes]:
    """Batches of one record that the broker takes, each good but for what its name says."""
    name = half("x").key or b""
    value = half("x").value or b""
    found = {}
    for codec in CODECS:
        found[f"name in {codec}"] = batch([half("x", (b"\xff\xfe", b"1"), (b"caf\xe9", None))], codec)
    one = record_bytes(half("x"), 0)
    found["bytes behind gzip"] = RawBatch(gzip.compress(one) + b"garbage", 1, CODECS["gzip"]).build()
    found["bytes behind lz4"] = RawBatch(compressed(one, "lz4") + b"\0" * 9, 1, CODECS["lz4"]).build()
    xerial = b"\x82SNAPPY\0" + struct.pack(">ii", 7, 7)
    block = bytes(cramjam.snappy.compress_raw(one))
    found["xerial of another version"] = RawBatch(
        xerial + struct.pack(">i", len(block)) + block, 1, CODECS["snappy"]
    ).build()
    start = b"\0" + varint(0) + varint(0) + sized(name)
    found["longer than it says"] = lying(start + sized(value) + varint(0), "zstd", -1)
    found["shorter than it says"] = lying(start + sized(value) + varint(0), "zstd", 1)
    many = bytearray(varint(len(value)))
    many[-1] |= 0x80
    many += b"\x80" * (4 - len(many)) + b"\x70"
    found["number with bits above Java's"] = lying(start + bytes(many) + value + varint(0))
    found["attributes"] = lying(b"\xff" + start[1:] + sized(value) + varint(0))
    return found


def run(bed: Bed, worker: Worker, timeout: float = 120) -> float:
    """Seconds until the worker, which has to run, has committed everything."""
    begun = time.monotonic()
    assert wait_until_drained(bed, [worker], timeout), worker.log.read_text()[-3000:]
    return time.monotonic() - begun


def test_what_the_broker_takes_is_processed_and_so_is_the_next(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    bed.send(LEFT, "before", 1)
    bed.flush()
    with running(worker):
        run(bed, worker)
        for what, content in readable_batches().items():
            feed(bed, content, [what])
            bed.send(LEFT, f"after {what}", 1)
            bed.flush()
            assert run(bed, worker) < 60, what
        assert worker.stop() == 0
    assert worker.exits == []
    assert len(bed.fed) == 1 + 2 * len(readable_batches())
    assert outcomes(bed) == dict.fromkeys(bed.fed.values(), "emitted/paired")
    assert list(bed.read(DEAD_LETTERS)) == []


def test_offsets_that_a_producer_makes_up_skip_and_repeat_nothing(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    for turn, deltas in enumerate([(0, 0), (1, 0), (0, 1000), (-5, 1)]):
        names = [f"{turn}a", f"{turn}b"]
        records = [
            RawRecord(half(name).key, half(name).value, offset=delta)
            for name, delta in zip(names, deltas, strict=True)
        ]
        feed(bed, batch(records), names)
        bed.send(LEFT, f"{turn}c", 1)
        bed.flush()
    with running(worker):
        run(bed, worker)
        assert worker.stop() == 0
    assert worker.exits == []
    assert outcomes(bed) == dict.fromkeys(bed.fed.values(), "emitted/paired")
    assert bed.report().repeated == 0


def test_a_batch_that_cannot_be_unpacked_is_one_dead_letter_with_its_bytes(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    bed.send(LEFT, "before", 1)
    bed.flush()
    content = b"".join(record_bytes(half(f"lost{place}"), place) for place in range(3))
    packed = bytearray(lz4.frame.compress(content, content_checksum=True, block_linked=False))
    packed[-1] ^= 1
    wrong = RawBatch(bytes(packed), 3, CODECS["lz4"]).build()
    feed(bed, wrong, ["lost0", "lost1", "lost2"])
    bed.send(LEFT, "after", 1)
    bed.flush()
    with running(worker):
        assert run(bed, worker) < 60
        assert worker.stop() == 0
    assert worker.exits == []
    assert outcomes(bed) == {
        "before": "emitted/paired",
        **dict.fromkeys(("lost0", "lost1", "lost2"), "dead/unreadable_batch"),
        "after": "emitted/paired",
    }
    ((key, value, headers),) = bed.read(DEAD_LETTERS)
    assert key is None
    # the broker sets offset, epoch, times and checksum; the records are as they were sent
    assert value is not None
    assert value.endswith(bytes(packed))
    assert (headers["dlq.error_type"], headers["dlq.offset"]) == (b"unreadable_batch", b"1")
    assert headers["dlq.value_bytes"] == str(len(value)).encode()
    assert headers["dlq.value_sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert b"offsets 1 to 3" in (headers["dlq.error"] or b"")


MIB = 1024 * 1024
BASE_BYTES = 120 * MIB
"""A worker of this stage that has nothing to do."""
TABLE_BYTES = 8 * 2 * 8 * MIB
"""Write buffers of the table, of eight partitions."""
BOUND_BYTES = 64 * MIB
"""What docs/faust.md promises of unpacked bytes."""
COPIES_BYTES = 128 * MIB
"""Of a record of one MiB in the step, the table and the producer, and what malloc keeps."""


@contextmanager
def watched(worker: Worker) -> Iterator[list[int]]:
    """The resident bytes of the worker's process, taken again and again; the largest is what counts."""
    seen, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            if worker.process is not None:
                with suppress(psutil.Error):
                    seen.extend(
                        one.memory_info().rss for one in psutil.Process(worker.process.pid).children()
                    )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def keys(bed: Bed, partition: int, prefix: str) -> Iterator[str]:
    """Names that belong into the partition."""
    for number in itertools.count():
        name = f"{prefix}{number}"
        if (murmur2(name.encode()) & 0x7FFFFFFF) % bed.partitions == partition:
            yield name


def test_what_batches_unpack_to_does_not_fill_the_memory(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=8)
    worker = Worker(bed, "1")
    for partition in range(6):
        names = list(itertools.islice(keys(bed, partition, "large"), 60))
        halves = [Half(id=name, number=1, text="a" * MIB).model_dump_json().encode() for name in names]
        records = [RawRecord(name.encode(), one) for name, one in zip(names, halves, strict=True)]
        feed(bed, batch(records, "zstd"), names, partition)
    (huge,) = itertools.islice(keys(bed, 6, "huge"), 1)
    feed(bed, blown_up([huge.encode()], 400 * MIB, "zstd"), [huge], 6)
    for partition in range(8):
        (last,) = itertools.islice(keys(bed, partition, "last"), 1)
        feed(bed, batch([half(last)]), [last], partition)
    with watched(worker) as resident, running(worker):
        run(bed, worker, 240)
        assert worker.stop() == 0
    assert worker.exits == []
    found = outcomes(bed)
    assert len(found) == 6 * 60 + 1 + 8
    assert found.pop(huge) == "dead/too_large"
    assert set(found.values()) == {"emitted/paired"}
    assert max(resident) < BASE_BYTES + TABLE_BYTES + BOUND_BYTES + COPIES_BYTES


def test_records_that_unpack_to_hundreds_of_megabytes_are_dead_letters(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    huge = {codec: [f"{codec}1", f"{codec}2"] for codec in ("gzip", "lz4", "zstd")}
    for codec, names in huge.items():
        feed(bed, batch([half(f"before {codec}")]), [f"before {codec}"])
        feed(bed, blown_up([name.encode() for name in names], 200 * MIB, codec), names)
    feed(bed, batch([half("after")]), ["after"])
    with watched(worker) as resident, running(worker):
        assert run(bed, worker) < 60
        assert worker.stop() == 0
    assert worker.exits == []
    expected = dict.fromkeys(bed.fed.values(), "emitted/paired")
    expected |= dict.fromkeys(itertools.chain(*huge.values()), "dead/too_large")
    assert outcomes(bed) == expected
    letters = list(bed.read(DEAD_LETTERS))
    assert [(key or b"").decode() for key, _, _ in letters] == list(itertools.chain(*huge.values()))
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(b"a" * MIB)
    for _, value, headers in letters:
        assert value is not None
        assert value == b"a" * len(value)
        assert headers["dlq.value_bytes"] == str(200 * MIB).encode()
        assert headers["dlq.value_sha256"] == digest.hexdigest().encode()
    assert max(resident) < BASE_BYTES + BOUND_BYTES + COPIES_BYTES


def test_a_batch_of_gigabytes_is_a_dead_letter(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    feed(bed, blown_up([b"one", b"two"], 1400 * MIB, "zstd"), ["one", "two"])
    feed(bed, batch([half("good")]), ["good"])
    with watched(worker) as resident, running(worker):
        assert run(bed, worker) < 60
        assert worker.stop() == 0
    assert worker.exits == []
    dead = "dead/unreadable_batch"
    assert outcomes(bed) == {"one": dead, "two": dead, "good": "emitted/paired"}
    ((_, _, headers),) = bed.read(DEAD_LETTERS)
    assert b"unpacks to more than" in (headers["dlq.error"] or b"")
    assert max(resident) < BASE_BYTES + BOUND_BYTES + COPIES_BYTES


def test_a_million_headers_do_not_fill_the_memory(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    many = ((b"", b""),) * 1_000_000
    for codec in ("none", "zstd"):
        feed(bed, batch([half(f"many in {codec}", *many)], codec), [f"many in {codec}"])
        feed(bed, batch([half(f"after {codec}")]), [f"after {codec}"])
    with watched(worker) as resident, running(worker):
        assert run(bed, worker) < 60
        assert worker.stop() == 0
    assert worker.exits == []
    found = outcomes(bed)
    for codec in ("none", "zstd"):
        assert found[f"many in {codec}"] == "dead/too_large"
        assert found[f"after {codec}"] == "emitted/paired"
    assert max(resident) < BASE_BYTES + BOUND_BYTES + COPIES_BYTES


def test_a_restore_of_large_states_does_not_fill_the_memory(make_bed: MakeBed) -> None:
    bed = make_bed(partitions=1)
    worker = Worker(bed, "1")
    for number in range(300):
        bed.send(LEFT, f"id{number}", number, "a" * MIB)
    bed.flush()
    with running(worker):
        run(bed, worker, 240)
        worker.stop()
    worker.wipe()
    bed.send(LEFT, "after", 1)
    with watched(worker) as resident, running(worker):
        run(bed, worker, 240)
        assert worker.stop() == 0
    assert worker.exits == []
    assert len(bed.states()) == 301
    assert max(resident) < BASE_BYTES + BOUND_BYTES + COPIES_BYTES


@pytest.mark.parametrize("unsafe", ["", "fetch"], ids=["at once", "by the watchdog"])
def test_a_fetch_that_dies_of_anything_else_ends_the_worker(make_bed: MakeBed, unsafe: str) -> None:
    bed = make_bed(partitions=1)
    settings = json.dumps({"watchdog_seconds": 5})
    worker = Worker(bed, "1", unsafe=unsafe, more=["--settings", settings, "--break-fetch", "10"])
    with running(worker):
        give_up = time.monotonic() + 120
        while not worker.exits:
            assert time.monotonic() < give_up, worker.log.read_text()[-3000:]
            bed.send(LEFT, f"id{len(bed.fed)}", 1)
            bed.flush()
            worker.tend()
            time.sleep(0.5)
        # started again it goes on where it was
        worker.stop()
        worker.more = []
        worker.start()
        run(bed, worker)
        assert worker.stop() == 0
    assert worker.exits[:1] == [73]
    assert set(outcomes(bed).values()) == {"emitted/paired"}
    assert list(bed.read(DEAD_LETTERS)) == []
