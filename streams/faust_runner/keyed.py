"""A keyed step as the runner drives it: with its table and its deadlines."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from schemas.errors import Undecodable
from schemas.log_events import DEADLINES_COLLECTED
from schemas.record import Record
from schemas.records import Tick
from schemas.stages import changelog_of
from streams.core.contract import Event, KeyedStep, Poison, Transition
from streams.core.record_size import KEY_BYTES
from streams.faust_runner.runner import StepResult, StepRunner
from streams.faust_runner.timers import Deadlines, DeadlineTimers
from streams.runtime import metrics
from streams.runtime.outputs import BrokenStep, Encoder, RecordCodec, check_disposition

State = TypeVar("State", bound=Record)
SCAN_PAUSE = 200
"""States read in one go while the deadlines of a partition are collected."""


log = structlog.get_logger(__name__)


class Keyed(Generic[State]):
    """A stage with one state a key, kept as framed bytes in a Faust table."""

    def __init__(
        self,
        step: KeyedStep[State],
        table: Any,
        codec: RecordCodec,
        encoder: Encoder,
        timers: DeadlineTimers,
        partition_of: Callable[[bytes], int],
        partitions: int,
    ) -> None:
        self.name = step.stage
        self.sources = step.sources
        self._step = step
        self._table = table
        self._codec = codec
        self._encoder = encoder
        self._timers = timers
        self._partition_of = partition_of
        self._partitions = partitions
        self._changelog = changelog_of(step.stage)

    async def step(self, event: Event) -> StepResult:
        """See `streams.faust_runner.runner.Stage.step`."""
        key = self._step.key_of(event)
        raw, partition = key.encode(), event.coordinates.partition
        if len(raw) > KEY_BYTES:
            raise Poison(
                "too_large", f"its key has {len(raw)} bytes, allowed are {KEY_BYTES}: shorten the ids"
            )
        right = self._partition_of(raw)
        if right != partition:
            raise Poison(
                "wrong_partition",
                f"key {key!r} belongs to partition {right} of {self._partitions} (murmur2), the record "
                f"is in {partition}: its producer uses another partitioner or key",
            )
        transition = self._step.on_event(self._state(key), event)
        check_disposition(transition.outputs, self.name, event.coordinates)
        return self._done(partition, key, transition, event)

    async def tick(self, event: Event, runner: StepRunner) -> None:
        """Fires the due deadlines if the sources were read up to the tick."""
        assert isinstance(event.record, Tick)
        tick, partition = event.record, event.coordinates.partition
        if (tick.partition, tick.partitions) != (partition, self._partitions):
            raise Poison(
                "wrong_tick",
                f"the tick is for partition {tick.partition} of {tick.partitions}, it is in "
                f"{partition} of {self._partitions}: restart the ticker",
            )
        until_done = runner.retry.until_done
        if not await until_done(lambda: self._timers.sources_reached(tick)):
            metrics.HELD_TICKS.labels(self.name).inc()
            return
        deadlines = await until_done(lambda: self._timers.of_partition(partition, self._scan))
        due = [
            await until_done(partial(self._fire, partition, key, event, tick))
            for key in deadlines.pop_due(tick.at, self._timers.most_at_once)
            if self._timers.begin_deadline(partition, key)
        ]
        self._timers.end_deadlines(event.coordinates)
        fired = [done for done in due if done is not None]
        await runner.fire(fired)
        metrics.DEADLINES.labels(self.name).inc(len(fired))

    async def _fire(self, partition: int, key: str, event: Event, tick: Tick) -> StepResult | None:
        """Result of the deadline; None if it does not fit: then the state stays as it is."""
        state = self._state(key)
        if state is None:
            return StepResult(())
        try:
            transition = self._step.on_deadline(state, key, tick.at)
        except Poison as poison:
            raise BrokenStep(f"on_deadline of {key!r} raised Poison ({poison.kind})") from poison
        try:
            return self._done(partition, key, transition, event)
        except Poison as poison:
            self._timers.skip_too_large(key, f"{poison.kind}: {poison.reason}")
            return None

    def _state(self, key: str) -> State | None:
        try:
            return self._read(self._table[key.encode()])
        except KeyError:
            return None

    def _read(self, value: bytes) -> State:
        try:
            state = self._codec.decode(self._changelog, value)
        except Undecodable as error:
            raise BrokenStep(f"a state of {self._changelog} cannot be read: {error.reason}") from error
        assert isinstance(state, self._step.state_type)
        return state

    def _done(self, partition: int, key: str, transition: Transition[State], event: Event) -> StepResult:
        state, raw = transition.state, key.encode()
        value = None if state is None else self._codec.encode(self._changelog, state)
        if value is not None and not self._encoder.fits(self._changelog, raw, value):
            raise Poison(
                "state_too_large",
                f"with this record the state of {key!r} has {len(value)} bytes, more than "
                f"{self._changelog} takes: raise its max.message.bytes",
            )
        outputs = self._encoder.encode(transition.outputs, event.timestamp)
        when = None if state is None else self._step.deadline(state)

        def put() -> None:
            # also if nothing changed: after a crash the local table may have what the changelog lacks
            if value is None:
                del self._table[raw]
            else:
                self._table[raw] = value
            self._timers.set(partition, key, when)

        return StepResult(outputs, put)

    async def _scan(self, partition: int) -> Deadlines:
        """The deadlines of every state in `partition`."""
        found = Deadlines()
        store = self._table.data
        for number, (key, value) in enumerate(store._visible_items(store._db_for_partition(partition))):
            found.set(key.decode(), self._step.deadline(self._read(value)))
            if number % SCAN_PAUSE == 0:
                await asyncio.sleep(0)
        DEADLINES_COLLECTED.emit(log, partition=partition, deadlines=len(found))
        return found
