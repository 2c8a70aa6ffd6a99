"""A step's outputs before they are sent: checked, sized, encoded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeGuard

from schemas.catalog import TopicSpec
from schemas.errors import shortened
from schemas.record import Record
from schemas.records import Cause, Disposition
from streams.core.contract import Coordinates, Output, Poison
from streams.core.dispositions import rejection
from streams.core.record_size import KEY_BYTES, record_bytes
from streams.runtime import metrics


class BrokenStep(Exception):
    """A step broke its contract; the process ends with exit code 70."""


class RecordCodec(Protocol):
    """Records to framed bytes and back; `schemas.codec.Codec` is one."""

    def encode(self, topic_name: str, record: Record) -> bytes:
        """The framed value. Raises Unencodable, NotRegistered, RegistryAway."""

    def decode(self, topic_name: str, value: bytes | None) -> Record:
        """The record. Raises Undecodable, RegistryAway."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One record as it goes to the producer; `topic` is logical."""

    topic: str
    key: bytes
    value: bytes


def check_disposition(outputs: Iterable[Output], stage: str, at: Coordinates) -> None:
    """Raises `BrokenStep` unless exactly one output is the disposition of the input at `at`."""
    found = 0
    for output in outputs:
        record = output.record
        if isinstance(record, Disposition):
            found += (record.stage, record.topic, record.partition, record.offset) == (
                stage,
                at.topic,
                at.partition,
                at.offset,
            )
    if found != 1:
        raise BrokenStep(
            f"stage {stage} wrote {found} dispositions for {at.topic}-{at.partition} at {at.offset}, "
            "every input needs exactly one"
        )


class Encoder:
    """Encodes the outputs of one stage; what its topic cannot carry becomes a rejection `too_large`.

    `topics` are those that the stage writes.
    `rest` makes what still goes out beside the rejection: record and reason to a smaller record, or None.
    """

    def __init__(
        self,
        stage: str,
        codec: RecordCodec,
        topics: Mapping[str, TopicSpec],
        rest: Callable[[Record, str], Record | None] = lambda record, reason: None,
    ) -> None:
        self._stage = stage
        self._codec = codec
        self._topics = topics
        self._rest = rest

    def fits(self, topic: str, key: bytes, value: bytes) -> bool:
        """Whether such a record of `topic` may be sent."""
        return len(key) <= KEY_BYTES and record_bytes(key, value) <= self._topics[topic].max_message_bytes

    def encode(self, outputs: Sequence[Output], now: datetime) -> list[Encoded]:
        """The outputs as bytes. `now` is the broker's time of the input.

        If an output is too large, the outcome `emitted` becomes `rejected`. Raises Poison
        `too_large` if a disposition or a rejection is too large as well (ids of megabytes),
        BrokenStep, Unencodable, NotRegistered, RegistryAway.
        """
        encoded = [self._encode(output) for output in outputs]
        large = self._too_large_ones(encoded)
        if not large:
            return encoded
        for position in large:
            # without it the input would have no outcome
            if isinstance(outputs[position].record, Disposition):
                raise Poison("too_large", self._why_too_large(outputs[position], encoded[position]))
        causes = [_cause(one.record) for one in outputs if _says_emitted(one.record)]
        refused: list[Output] = []
        for position, output in enumerate(outputs):
            if position in large:
                metrics.TOO_LARGE.labels(self._stage, output.topic).inc()
                reason = self._why_too_large(output, encoded[position])
                refused.append(self._rejected(output, len(encoded[position].value), reason, now, causes))
                if (rest := self._rest(output.record, reason)) is not None:
                    refused.append(replace(output, record=rest))
            else:
                refused.append(_as_rejected(output))
        instead = [self._encode(output) for output in refused]
        for position in self._too_large_ones(instead):
            raise Poison("too_large", self._why_too_large(refused[position], instead[position]))
        return instead

    def _too_large_ones(self, encoded: Sequence[Encoded]) -> list[int]:
        return [at for at, one in enumerate(encoded) if not self.fits(one.topic, one.key, one.value)]

    def _encode(self, output: Output) -> Encoded:
        if output.topic not in self._topics:
            raise BrokenStep(
                f"stage {self._stage} wrote to {output.topic}, which is none of its outputs in "
                "schemas/stages.yaml"
            )
        return Encoded(output.topic, output.key.encode(), self._codec.encode(output.topic, output.record))

    def _why_too_large(self, output: Output, encoded: Encoded) -> str:
        what = f"{type(output.record).__name__} for {output.topic}"
        if len(encoded.key) > KEY_BYTES:
            size = len(encoded.key)
            return f"the key of the {what} has {size} bytes, allowed are {KEY_BYTES}: shorten the ids"
        return (
            f"the {what} has {len(encoded.value)} bytes, allowed are "
            f"{self._topics[output.topic].max_message_bytes}: shorten the input, or raise max.message.bytes "
            "of the topic"
        )

    def _rejected(self, output: Output, size: int, reason: str, now: datetime, causes: list[Cause]) -> Output:
        limit = self._topics[output.topic].max_message_bytes
        return rejection(
            self._stage,
            output.record,
            gate="size",
            reason_code="too_large",
            reason=reason,
            rejected_at=now,
            caused_by=causes,
            evidence={
                "topic": output.topic,
                "key": shortened(output.key),
                "bytes": size,
                "limit": limit,
            },
        )


def _says_emitted(record: Record) -> TypeGuard[Disposition]:
    return isinstance(record, Disposition) and record.outcome == "emitted"


def _cause(of: Disposition) -> Cause:
    return Cause(topic=of.topic, partition=of.partition, offset=of.offset, id=of.id or "")


def _as_rejected(output: Output) -> Output:
    record = output.record
    if not _says_emitted(record):
        return output
    return replace(output, record=record.model_copy(update={"outcome": "rejected", "reason": "too_large"}))
