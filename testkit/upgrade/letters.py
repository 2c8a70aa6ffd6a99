"""The dead letters of a stack, by what their headers say."""

from typing import NamedTuple

from confluent_kafka import Message

from streams.runtime.kafka_clients import header_pairs
from testkit.upgrade.stack import Place, Stack, as_bytes

DEAD_LETTERS = "opoi.dead-letters"


class Letter(NamedTuple):
    """Which stage gave up which record, and why."""

    stage: str
    at: Place
    kind: str

    @classmethod
    def of(cls, message: Message) -> "Letter":
        """The letter that a record is."""
        said = {
            name: as_bytes(value).decode(errors="replace") for name, value in header_pairs(message.headers())
        }
        at = Place(said["dlq.topic"], int(said["dlq.partition"]), int(said["dlq.offset"]))
        return cls(said["dlq.stage"], at, said["dlq.error_type"])


def letters(stack: Stack) -> list[Letter]:
    """All of them."""
    return [Letter.of(message) for message in stack.read(DEAD_LETTERS)]
