"""A small keyed stage for the Faust benches and fault tests: it pairs a left and a right record by id.

It stands for the join without its records: every input gets one disposition, every complete pair one
output, so that what was lost can be counted from outside.
"""

import ctypes
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from schemas.catalog import TopicSpec
from schemas.errors import RegistryAway, Undecodable
from schemas.record import Record, Timestamp
from schemas.records import Disposition, DispositionOutcome, Rejection, Tick
from schemas.settings import KafkaSettings
from schemas.stages import (
    DEAD_LETTERS,
    DISPOSITIONS,
    REJECTIONS,
    KeyedSpec,
    StageSpec,
    changelog_of,
    retry_of,
    ticks_of,
)
from streams.core.contract import Coordinates, Event, Output, Poison, Transition

LEFT, RIGHT, PAIRS = "left", "right", "pairs"


class Half(Record):
    """One side of a pair."""

    schema_name: ClassVar[str] = "bench.Half"

    id: str
    number: int
    text: str = ""


class Pair(Record):
    """Both sides, or an expired one."""

    schema_name: ClassVar[str] = "bench.Pair"

    id: str
    left: int | None
    right: int | None


class PairState(Record):
    """What is known of an id."""

    schema_name: ClassVar[str] = "bench.PairState"

    left: int | None = None
    right: int | None = None
    text: str = ""
    expires_at: Timestamp | None = None


RECORDS: dict[str, type[Record]] = {
    LEFT: Half,
    RIGHT: Half,
    PAIRS: Pair,
    DISPOSITIONS: Disposition,
    REJECTIONS: Rejection,
}


class PlainCodec:
    """Records as JSON; `away` names a file during whose existence the registry counts as away."""

    def __init__(self, stage: str, away: Path | None = None) -> None:
        self._away = away
        self._types = RECORDS | {ticks_of(stage): Tick, changelog_of(stage): PairState}

    def encode(self, topic_name: str, record: Record) -> bytes:
        """The record as JSON."""
        assert isinstance(record, self._types[topic_name])
        return record.model_dump_json().encode()

    def decode(self, topic_name: str, value: bytes | None) -> Record:
        """The record. Raises Undecodable, RegistryAway."""
        if self._away is not None and self._away.exists():
            raise RegistryAway(f"{self._away} exists")
        try:
            return self._types[topic_name].model_validate_json(value or b"")
        except ValueError as error:
            raise Undecodable("contract", str(error)[:300]) from error


class PairStep:
    """Pairs halves by id. Texts in a record make it misbehave: `segfault`, `raise`, `poison`, `sleep`."""

    sources: tuple[str, ...] = (LEFT, RIGHT)
    state_type: type[PairState] = PairState

    def __init__(self, stage: str, expire_after: timedelta | None = None) -> None:
        self.stage = stage
        self._expire_after = expire_after

    def key_of(self, event: Event) -> str:
        """The id."""
        assert isinstance(event.record, Half)
        return event.record.id

    def on_event(self, state: PairState | None, event: Event) -> Transition[PairState]:
        """Notes the half; writes the pair where both are there."""
        half = event.record
        assert isinstance(half, Half)
        _misbehave(half.text)
        state = state or PairState()
        state = state.model_copy(update={event.topic: half.number, "text": half.text})
        outputs = [_disposition(self.stage, event.coordinates, "emitted", event.timestamp)]
        if state.left is not None and state.right is not None:
            pair = Pair(id=half.id, left=state.left, right=state.right)
            if half.text == "large":
                pair = pair.model_copy(update={"id": half.id + "x" * 5_000_000})
            outputs.append(Output(PAIRS, half.id, pair))
            state = state.model_copy(update={"expires_at": None})
        elif self._expire_after is not None:
            state = state.model_copy(update={"expires_at": event.timestamp + self._expire_after})
        return Transition(state, tuple(outputs))

    def deadline(self, state: PairState) -> datetime | None:
        """When a half gives up."""
        return state.expires_at

    def on_deadline(self, state: PairState, key: str, now: datetime) -> Transition[PairState]:
        """A half without its other half."""
        _misbehave(state.text.removeprefix("at-deadline:") if state.text.startswith("at-deadline:") else "")
        pair = Pair(id=key, left=state.left, right=state.right)
        return Transition(state.model_copy(update={"expires_at": None}), (Output(PAIRS, key, pair),))


class CountStep:
    """The same stage without memory: it only says of each half that it came."""

    sources: tuple[str, ...] = (LEFT, RIGHT)

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_event(self, event: Event) -> tuple[Output, ...]:
        """The disposition."""
        return (_disposition(self.stage, event.coordinates, "emitted", event.timestamp),)


def _disposition(stage: str, at: Coordinates, outcome: DispositionOutcome, now: datetime) -> Output:
    record = Disposition(
        stage=stage,
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        outcome=outcome,
        reason="paired",
        recorded_at=now,
    )
    return Output(DISPOSITIONS, f"{stage}/{at.topic}/{at.partition}/{at.offset}", record)


def _misbehave(text: str) -> None:
    if text == "segfault":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)
    elif text == "raise":
        raise RuntimeError("this record makes the step fail")
    elif text == "poison":
        raise Poison("contract", "this record is refused")
    elif text.startswith("sleep:"):
        time.sleep(float(text.removeprefix("sleep:")))


def stage_spec(stage: str, *, keyed: bool = True) -> StageSpec:
    """The stage as `stages.yaml` would state it."""
    return StageSpec(
        name=stage,
        description="Pairs halves.",
        sources=(LEFT, RIGHT),
        outputs=(PAIRS,),
        keyed=KeyedSpec(key="id", state="PairState") if keyed else None,
        metrics_slot=0,
    )


def specs(stage: str) -> dict[str, TopicSpec]:
    """The topics of the stage."""

    def spec(name: str, record: str | None, *producers: str, compact: bool = False) -> TopicSpec:
        return TopicSpec(
            name=name,
            description=name,
            owner="bench",
            key="id",
            record=record,
            cleanup="compact" if compact else "delete",
            max_message_bytes=(5 if record is None else 4) * 1024 * 1024,
            producers=producers,
            consumers=(),
        )

    made = (
        spec(LEFT, "Half", "feeder"),
        spec(RIGHT, "Half", "feeder"),
        spec(PAIRS, "Pair", stage),
        spec(DISPOSITIONS, "Disposition", stage),
        spec(REJECTIONS, "Rejection", stage),
        spec(DEAD_LETTERS, None, stage),
        spec(retry_of(stage), None, "redrive"),
        spec(ticks_of(stage), "Tick", "ticker"),
        spec(changelog_of(stage), "PairState", stage, compact=True),
    )
    return {each.name: each for each in made}


def kafka(bootstrap: str, stage: str) -> KafkaSettings:
    """The broker; every topic of the stage has a physical name of its own."""
    return KafkaSettings(
        bootstrap_servers=bootstrap,
        topic_names={name: name if stage in name else f"{stage}.{name}" for name in specs(stage)},
    )
