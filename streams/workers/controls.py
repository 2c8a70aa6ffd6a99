"""What operators tell a stage to do: pause and resume.

The word is a record of the compacted topic `opoi.controls`: it reaches every worker on every machine within
a poll, holds over restarts of workers and of the broker, and needs nothing that workers do not need anyway.
A file would reach one machine; the offsets' metadata of a group is forgotten after the broker's retention.
"""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.errors import BrokerAway
from schemas.settings import KafkaSettings
from streams.kafka_clients import CheckedProducer, make_consumer

TOPIC = "opoi.controls"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Control:
    """The last word to one stage. `at` is UTC, by the clock of who said it."""

    paused: bool = False
    reason: str = ""
    at: datetime | None = None

    def value(self) -> bytes:
        """As the record's value."""
        at = self.at.isoformat(timespec="seconds") if self.at else None
        return json.dumps({"paused": self.paused, "reason": self.reason, "at": at}).encode()

    @classmethod
    def parse(cls, value: bytes) -> "Control":
        """The opposite of `value`. Raises ValueError."""
        found = json.loads(value)
        if not isinstance(found, dict) or not isinstance(found.get("paused"), bool):
            raise ValueError("no object with a boolean `paused`")
        at = datetime.fromisoformat(str(found["at"])) if found.get("at") else None
        return cls(found["paused"], str(found.get("reason") or ""), at)


class Controls:
    """The last word to `stage`, as of the last `refresh`. Not thread-safe."""

    def __init__(self, kafka: KafkaSettings, stage: str) -> None:
        self.current = Control()
        self._stage = stage
        # outside of every group: each worker reads the whole topic
        self._consumer: Consumer = make_consumer(
            kafka, f"opoi-{stage}-controls", **{"group.protocol": "classic", "enable.partition.eof": False}
        )
        self._partition = TopicPartition(kafka.physical(TOPIC), 0, 0)
        self._consumer.assign([self._partition])

    def catch_up(self, timeout: float = 10.0) -> Control:
        """Reads to the end of the topic. Raises BrokerAway."""
        give_up = time.monotonic() + timeout
        try:
            _, end = self._consumer.get_watermark_offsets(self._partition, timeout=timeout)
            while self._position() < end:
                if time.monotonic() > give_up:
                    raise BrokerAway(f"{self._partition.topic} was not read to its end in {timeout:g} s")
                self._take(self._consumer.poll(0.1))
        except KafkaException as error:
            raise BrokerAway(f"{self._partition.topic} cannot be read: {error}") from error
        return self.current

    def refresh(self) -> Control:
        """Reads what came in the meantime, without waiting."""
        while (message := self._consumer.poll(0)) is not None:
            self._take(message)
        return self.current

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def _position(self) -> int:
        (found,) = self._consumer.position([self._partition])
        return max(found.offset, 0)

    def _take(self, message: Message | None) -> None:
        if message is None or message.error() is not None or message.key() != self._stage.encode():
            return
        try:
            self.current = Control.parse(message.value() or b'{"paused": false}')
        except ValueError as error:
            log.error("a control record is not understood and changes nothing", error=str(error))


def say(kafka: KafkaSettings, stage: str, *, paused: bool, reason: str = "") -> Control:
    """Tells `stage` to pause or to go on; returns once the broker has it. Raises DeliveryFailed."""
    said = Control(paused, reason, datetime.now(UTC))
    producer = CheckedProducer(kafka, **{"message.timeout.ms": 10_000})
    producer.send(TOPIC, stage, said.value())
    producer.flush(15)
    return said
