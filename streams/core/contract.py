"""What a stage promises its shell: pure functions from an input (and a state) to outputs.

A step sees no Kafka and no clock. Times come from its inputs, ids are functions of content, so that running
a step twice gives the same bytes twice (at-least-once delivery stays harmless). What it asks of a port
(`streams.core.dependencies`) is content by its hash; the first to ask for an agent's texts waits, and the
process with it, until they are read from the broker.

There are four ways out of a step: it returns, it raises `Poison` (the input goes to the dead letters with its
bytes), a port raises `RegistryAway` (the shell waits and runs it again), or it raises anything else (the
process stops before it acknowledges).
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
    """An input that can never be processed; the text says why, `shortened`."""

    def __init__(self, kind: DeadLetterKind, reason: str) -> None:
        self.kind = kind
        self.reason = shortened(reason)
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a record stands: logical topic name, partition, offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded input.

    `topic` is the logical topic whose contract the record keeps; it differs from
    `coordinates.topic` only for a record that came through the stage's retry topic.
    `timestamp` is the broker's, UTC. `value` is the framed bytes exactly as they came.
    """

    coordinates: Coordinates
    topic: str
    timestamp: datetime
    key: bytes | None
    value: bytes
    record: Record
    headers: Headers = ()


def header(headers: Headers, name: str) -> bytes | None:
    """The value of the header `name`, the last one where it is repeated; None where it is missing or null."""
    return dict(headers).get(name)


@dataclass(frozen=True, slots=True)
class Output:
    """One record to write: logical topic, message key, record."""

    topic: str
    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Transition(Generic[State]):
    """What a keyed step answers: the state after (None deletes it) and the records to write.

    The outputs hold exactly one Disposition for the event's coordinates, and may close
    dispositions of earlier inputs that were `pending`.
    """

    state: State | None
    outputs: tuple[Output, ...] = ()


class StatelessStep(Protocol):
    """A stage without memory: one input in, records out."""

    stage: str
    sources: tuple[str, ...]

    def on_event(self, event: Event) -> tuple[Output, ...]:
        """Outputs of `event`, exactly one Disposition of it among them. Raises `Poison`."""


class KeyedStep(Protocol[State]):
    """A stage with one state a key (`agent/decision_id`), all of a key on one partition number."""

    stage: str
    sources: tuple[str, ...]
    state_type: type[State]

    def key_of(self, event: Event) -> str:
        """The state's key that `event` belongs to. Raises `Poison` where it has none."""

    def on_event(self, state: State | None, event: Event) -> Transition[State]:
        """Fold `event` into `state`. Raises `Poison`."""

    def deadline(self, state: State) -> datetime | None:
        """When `state` next wants `on_deadline`, UTC; None: never."""

    def on_deadline(self, state: State, key: str, now: datetime) -> Transition[State]:
        """Fold the passing of `deadline(state)`; `now` is the tick's time, UTC, at or after it.

        No input is delivered again for a deadline that a crash cut short, so the shell waits until
        the outputs are acknowledged before it puts the state, and the outputs are a function of
        `state` alone: the same bytes whichever tick fires them.
        """
