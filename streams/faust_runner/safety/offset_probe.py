"""Committed offsets, ends of logs and first records, from the broker and without Faust.

The calls block for up to `timeout` seconds; call them from a thread.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Place

from streams.faust_runner.safety.offset_tracker import Source
from streams.faust_runner.safety.unpacking import RawBatches, is_passed_over
from streams.runtime import stored_batch
from streams.runtime.batch_header import MAGIC_AT, Header
from streams.runtime.stored_batch import NoAnswer

FETCH_BYTES = 64 * 1024
"""Bytes of a fetch for one record; the broker adds the rest of the first batch."""


class ProbeAway(Exception):
    """The broker did not answer; ask again."""


class OffsetProbe(Protocol):
    """The independent view of a source partition."""

    def committed(self, source: Source) -> int | None:
        """The group's committed offset, None where there is none. Raises `ProbeAway`."""

    def bounds(self, source: Source) -> tuple[int, int]:
        """First offset and next offset of the log. Raises `ProbeAway`."""

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        """Offset of the first record in [start, end), None where none is left. Raises `ProbeAway`."""


class BrokerOffsetProbe:
    """A consumer outside of the group, which reads headers of batches and commits nothing.

    `config` is for confluent-kafka, `client` for aiokafka. Records are found by the headers of batches:
    librdkafka would decompress whole batches, and would retry those that it cannot decompress for ever.
    """

    def __init__(
        self, config: Mapping[str, str], client: Mapping[str, Any], group: str, timeout: float = 10.0
    ) -> None:
        self._timeout = timeout
        self._client = client
        self._consumer = Consumer({**config, "group.id": group, "enable.auto.commit": False, "log_level": 2})

    def committed(self, source: Source) -> int | None:
        """See `OffsetProbe.committed`."""
        try:
            (found,) = self._consumer.committed([Place(*source)], timeout=self._timeout)
        except KafkaException as error:
            raise ProbeAway(str(error)) from error
        if found.error is not None:
            raise ProbeAway(str(found.error))
        return found.offset if found.offset >= 0 else None

    def bounds(self, source: Source) -> tuple[int, int]:
        """See `OffsetProbe.bounds`."""
        try:
            low, high = self._consumer.get_watermark_offsets(Place(*source), timeout=self._timeout)
        except KafkaException as error:
            raise ProbeAway(str(error)) from error
        return low, high

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        """See `OffsetProbe.first_record`."""
        try:
            return asyncio.run(asyncio.wait_for(self._find_first(source, start, end), self._timeout))
        except NoAnswer as error:
            raise ProbeAway(str(error)) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise ProbeAway(
                f"{source.topic}-{source.partition} at {start}: no answer ({type(error).__name__}: {error})"
            ) from error

    async def _find_first(self, source: Source, start: int, end: int) -> int | None:
        client = AIOKafkaClient(**self._client)
        try:
            await client.bootstrap()
            await client.set_topics([source.topic])
            tp, position = TopicPartition(*source), start
            while position < end:
                got = await stored_batch.fetch(client, tp, position, FETCH_BYTES)
                answer = Fetched(tp, position, got.last_stable_offset, got.aborted, got.content)
                before = position
                for first, following in answer.records():
                    if first is not None:
                        return first if first < end else None
                    position = following
                if position == before:
                    if answer.last_stable_offset >= end:
                        return None
                    raise ProbeAway(f"{source.topic}-{source.partition}: a transaction is open at {position}")
            return None
        finally:
            await client.close()

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()


class Fetched:
    """What the broker sent of one partition."""

    def __init__(self, tp: TopicPartition, position: int, stable: int, aborted: Any, content: bytes) -> None:
        self.last_stable_offset = stable
        self._position = position
        self._batches = RawBatches(content)
        # it knows which transactions were aborted; its records are not asked for
        self._state = PartitionRecords(
            tp, self._batches, aborted, position, None, None, check_crcs=False, isolation_level=READ_COMMITTED
        )

    def records(self) -> Iterator[tuple[int | None, int]]:
        """Per batch the offset of its first record from the position on, None without, and what follows."""
        while self._batches.has_next():
            raw = self._batches.next_batch()
            if raw[MAGIC_AT] < 2:
                # written before Kafka 0.11; it holds a record, of which only the last has its offset here
                yield self._position, self._position + 1
                continue
            header, batch = Header(raw), DefaultRecordBatch(raw)
            following = header.last_offset + 1
            if is_passed_over(self._state, batch) or following <= self._position:
                yield None, following
            elif header.is_whole:
                yield max(self._position, header.base_offset), following
            else:
                yield self._left_by_compaction(batch), following

    def _left_by_compaction(self, batch: Any) -> int | None:
        try:
            return min((each.offset for each in batch if each.offset >= self._position), default=None)
        except Exception:  # noqa: BLE001  compiled code; what it cannot read is no hole
            return self._position
