"""The contract of a step: a pure function from an input (and a state) to outputs.

A step sees no Kafka and no clock. Times come from its inputs and ids are functions of content, so running
a step twice gives the same bytes, and at-least-once delivery is harmless. From its dependencies
(`streams.core.dependencies`) it gets content by hash. The first request for an agent's texts blocks the
process until they are read from the broker.

A step can end in four ways: it returns; it raises `Poison` (the input goes to the dead letters with its
bytes); a dependency raises `RegistryAway` (the runner waits and runs the step again); it raises anything else
(the process ends before it acknowledges).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from schemas.dead_letter_kinds import DeadLetterKind
from schemas.errors import shortened
from schemas.record import Record

State = TypeVar("State", bound=Record)

Headers = tuple[tuple[str, bytes | None], ...]
"""Headers as Kafka has them: a name may come more than once, a value may be null."""


class Poison(Exception):
    """An input that can never be processed. `kind` is a short stable code; the text says why, `shortened`."""

    def __init__(self, kind: DeadLetterKind, reason: str) -> None:
        self.kind = kind
        self.reason = shortened(reason)
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Coordinates of a record: logical topic name, partition, offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded input.

    `topic` is the logical topic whose contract the record keeps; it differs from
    `coordinates.topic` only for a record that came through the stage's retry topic.
    `timestamp` is the broker's, UTC. `value` is the framed bytes exactly as received.
    """

    coordinates: Coordinates
    topic: str
    timestamp: datetime
    key: bytes | None
    value: bytes
    record: Record
    headers: Headers = ()


def header(headers: Headers, name: str) -> bytes | None:
    """The value of the header `name`, the last one if it is repeated; None if it is missing or null."""
    return dict(headers).get(name)


@dataclass(frozen=True, slots=True)
class Output:
    """One record to write: logical topic, message key, record."""

    topic: str
    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Transition(Generic[State]):
    """Result of a keyed step: the new state (None deletes it) and the records to write.

    The outputs have exactly one Disposition for the event's coordinates, and may close
    dispositions of earlier inputs that were `pending`.
    """

    state: State | None
    outputs: tuple[Output, ...] = ()


class StatelessStep(Protocol):
    """A stage without state: one input in, records out."""

    stage: str
    sources: tuple[str, ...]

    def on_event(self, event: Event) -> tuple[Output, ...]:
        """Outputs of `event`, exactly one Disposition of it among them. Raises `Poison`."""


class KeyedStep(Protocol[State]):
    """A stage with one state for each key (`agent/decision_id`); a key has one partition in all topics."""

    stage: str
    sources: tuple[str, ...]
    state_type: type[State]

    def key_of(self, event: Event) -> str:
        """The key of the state that `event` belongs to. Raises `Poison` if it has none."""

    def on_event(self, state: State | None, event: Event) -> Transition[State]:
        """Processes `event` with `state`. Raises `Poison`."""

    def deadline(self, state: State) -> datetime | None:
        """The next time at which `state` needs `on_deadline`, UTC; None: never."""

    def on_deadline(self, state: State, key: str, now: datetime) -> Transition[State]:
        """Processes the deadline `deadline(state)`; `now` is the tick's time, UTC, at or after it.

        No input is delivered again after a crash in a deadline. So the runner waits until the outputs are
        acknowledged before it writes the state, and the outputs are a function of `state` alone: the same
        bytes whichever tick fires them.
        """
