"""The operator's commands to a stage: pause and resume.

A command is a record of the compacted topic `opoi.controls` (why: `streams.runtime.broadcast_topic`).
A file would reach one machine; the offsets' metadata of a group is forgotten after the broker's retention.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Message

from schemas.errors import one_line
from schemas.identity import json_object
from schemas.settings import KafkaSettings
from streams.runtime.broadcast_topic import BroadcastTopic, left_out
from streams.runtime.kafka_clients import CheckedProducer

TOPIC = "opoi.controls"


@dataclass(frozen=True, slots=True)
class PauseState:
    """The last command to one stage. `at`: UTC, by the operator's clock."""

    paused: bool = False
    reason: str = ""
    at: datetime | None = None

    def value(self) -> bytes:
        """As the record's value."""
        at = self.at.isoformat(timespec="seconds") if self.at else None
        return json.dumps({"paused": self.paused, "reason": self.reason, "at": at}).encode()

    @classmethod
    def parse(cls, value: bytes) -> "PauseState":
        """The opposite of `value`. Raises ValueError."""
        found = json_object(value.decode())
        if not isinstance(found.get("paused"), bool):
            raise ValueError("no object with a boolean `paused`")
        at = datetime.fromisoformat(str(found["at"])) if found.get("at") else None
        return cls(found["paused"], one_line(str(found.get("reason") or "")), at)


class PauseTopic:
    """The last command to `stage`, as of the last `refresh`. Not thread-safe."""

    def __init__(self, kafka: KafkaSettings, stage: str) -> None:
        self.current = PauseState()
        self._stage = stage
        self._topic = BroadcastTopic(kafka, TOPIC, f"{stage}-controls", self._take)

    def catch_up(self, timeout: float = 10.0) -> PauseState:
        """Reads to the end of the topic. Raises BrokerAway."""
        self._topic.catch_up(timeout)
        return self.current

    def refresh(self) -> PauseState:
        """Reads new commands, without waiting."""
        self._topic.refresh()
        return self.current

    def close(self) -> None:
        """Ends the connection."""
        self._topic.close()

    def _take(self, message: Message) -> None:
        if message.key() != self._stage.encode():
            return
        try:
            self.current = PauseState.parse(message.value() or b'{"paused": false}')
        except ValueError as error:
            left_out(message, TOPIC, "unreadable_control", str(error))


def publish_pause(kafka: KafkaSettings, stage: str, *, paused: bool, reason: str = "") -> PauseState:
    """Sends pause or resume to `stage`; returns once the broker has it. Raises DeliveryFailed."""
    state = PauseState(paused, reason, datetime.now(UTC))
    producer = CheckedProducer(kafka, **{"message.timeout.ms": 10_000})
    producer.send(TOPIC, stage, state.value())
    producer.flush(15)
    return state
