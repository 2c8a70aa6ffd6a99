"""What the broker says, asked without Faust: committed offsets, log ends, whether a record stands there.

The calls block for up to `timeout` seconds; call them from a thread.
"""

import threading
from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.faust_runner.safety.offset_tracker import Source


class WitnessAway(Exception):
    """The broker did not answer; ask again."""


class Witness(Protocol):
    """The independent view of a source partition."""

    def committed(self, source: Source) -> int | None:
        """The group's committed offset, None where there is none. Raises `WitnessAway`."""

    def bounds(self, source: Source) -> tuple[int, int]:
        """First offset and next offset of the log. Raises `WitnessAway`."""

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        """Offset of the first record in [start, end), None where none is left. Raises `WitnessAway`."""


class BrokerWitness:
    """A consumer of its own, outside of the group: it reads single records and commits nothing."""

    def __init__(self, config: Mapping[str, str], group: str, timeout: float = 10.0) -> None:
        self._timeout = timeout
        # a look that nobody waits for any more goes on in its thread
        self._one_at_a_time = threading.Lock()
        self._consumer = Consumer(
            {
                **config,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                # a look at one record must not fetch megabytes
                "queued.max.messages.kbytes": 1024,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )

    def committed(self, source: Source) -> int | None:
        """See `Witness.committed`."""
        try:
            (found,) = self._consumer.committed([TopicPartition(*source)], timeout=self._timeout)
        except KafkaException as error:
            raise WitnessAway(str(error)) from error
        if found.error is not None:
            raise WitnessAway(str(found.error))
        return found.offset if found.offset >= 0 else None

    def bounds(self, source: Source) -> tuple[int, int]:
        """See `Witness.bounds`."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*source), timeout=self._timeout)
        except KafkaException as error:
            raise WitnessAway(str(error)) from error
        return low, high

    def first_record(self, source: Source, start: int, end: int) -> int | None:
        """See `Witness.first_record`."""
        try:
            with self._one_at_a_time:
                return self._look(source, start, end)
        except KafkaException as error:
            raise WitnessAway(str(error)) from error

    def _look(self, source: Source, start: int, end: int) -> int | None:
        self._consumer.assign([TopicPartition(*source, start)])
        try:
            message = self._consumer.poll(self._timeout)
            if message is None:
                raise WitnessAway(f"no answer about {source.topic}-{source.partition} at {start}")
            offset = message.offset()
            fault = message.error()
            if fault is None:
                assert offset is not None
                return offset if offset < end else None
            if fault.code() == KafkaError._PARTITION_EOF and offset is not None and offset >= end:
                return None
            raise WitnessAway(f"{source.topic}-{source.partition} at {offset}: {fault}")
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()
