"""A batch as it stands in the broker's log, for a client that cannot read it. librdkafka gives none out."""

import asyncio
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import KafkaError, NoError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from schemas.settings import KafkaSettings
from streams.core.contract import Coordinates
from streams.core.message import Message, from_milliseconds
from streams.core.unread import Unread
from streams.runtime.batch_header import HEADER_SIZE, MAGIC_AT, Header
from streams.runtime.kafka_clients import BROKER_SECONDS, aiokafka_config
from streams.runtime.offsets import Source

_FRAME = struct.Struct(">qi")


class NoAnswer(Exception):
    """The broker does not give the bytes of its log; ask again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the broker sent of one partition: whole batches, the last one may be cut."""

    last_stable_offset: int
    aborted: tuple[tuple[int, int], ...]
    """Producer id and first offset of the transactions that were taken back."""
    content: bytes


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One batch, offsets from `first` to `last`; `timestamp` in milliseconds since 1970."""

    first: int
    last: int
    timestamp: int
    content: bytes
    is_passed_over: bool
    """Whether no reader is given any of it: a marker, taken back, or compacted away."""

    def unread(self, at: Coordinates, why: str) -> Message:
        """What stands for its records from the one at `at` on, none of which can be read."""
        reason = f"the batch of the offsets {at.offset} to {self.last} cannot be read: {why}"
        value = Unread.batch(self.content, reason, self.last)
        return Message(at, from_milliseconds(self.timestamp), None, value, ())


async def fetch(client: Any, tp: TopicPartition, position: int, most_bytes: int) -> Fetched:
    """The log from the batch on that holds `position`; the first batch whole. Raises NoAnswer, KafkaError."""
    leader = client.cluster.leader_for_partition(tp)
    if leader is None or leader == -1:
        raise NoAnswer(f"{tp.topic}-{tp.partition} has no leader")
    wanted = [(tp.topic, [(tp.partition, position, most_bytes)])]
    response = await client.send(leader, FetchRequest(50, 1, most_bytes, READ_COMMITTED, wanted))
    ((_, ((_, code, _, stable, *more),)),) = response.topics
    if (fault := for_code(code)) is not NoError:
        raise NoAnswer(f"{tp.topic}-{tp.partition} at {position}: {fault.__name__}")
    # version 11 has the preferred replica between the aborted transactions and the records
    aborted = more[1] if response.API_VERSION >= 11 else more[-2]
    return Fetched(stable, tuple((producer, first) for producer, first in aborted or ()), more[-1])


def batch_at(kafka: KafkaSettings, source: Source, offset: int, expected: int) -> StoredBatch | None:
    """The batch with `offset`, None where there is none, or all of it lies before `expected`.

    Blocks for up to BROKER_SECONDS. Raises NoAnswer.
    """

    def ask() -> StoredBatch | None:
        asked = _batch_at(kafka, source, max(offset, expected))
        return asyncio.run(asyncio.wait_for(asked, BROKER_SECONDS))

    try:
        # whoever asks may be within a loop of its own
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(ask).result()
    except (KafkaError, TimeoutError, OSError) as error:
        raise NoAnswer(
            f"{source.topic}-{source.partition} at {offset}: no answer ({type(error).__name__}: {error})"
        ) from error
    return found if found is not None and found.first <= offset <= found.last else None


async def _batch_at(kafka: KafkaSettings, source: Source, offset: int) -> StoredBatch | None:
    client = AIOKafkaClient(**aiokafka_config(kafka))
    try:
        await client.bootstrap()
        await client.set_topics([source.topic])
        fetched = await fetch(client, TopicPartition(*source), offset, 1)
    finally:
        await client.close()
    return first_batch(fetched.content, fetched.aborted)


def first_batch(content: bytes, aborted: Iterable[tuple[int, int]]) -> StoredBatch | None:
    """The first batch of what was fetched; None where it is not there whole."""
    if len(content) < _FRAME.size:
        return None
    offset, length = _FRAME.unpack_from(content)
    end = _FRAME.size + length
    if not MAGIC_AT < end <= len(content):
        return None
    content = content[:end]
    if content[MAGIC_AT] < 2 or len(content) < HEADER_SIZE:
        # written before Kafka 0.11: the offset is that of its last record
        return StoredBatch(offset, offset, 0, content, is_passed_over=False)
    header = Header(content)
    taken_back = header.is_transactional and any(
        producer == header.producer_id and first <= header.base_offset for producer, first in aborted
    )
    return StoredBatch(
        header.base_offset,
        header.last_offset,
        header.timestamp(0),
        content,
        is_passed_over=header.is_control or header.count == 0 or taken_back,
    )
