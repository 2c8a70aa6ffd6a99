"""A pure step as the shell runs it: with its table and its deadlines, or without memory."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Any, Generic, TypeVar

import structlog

from schemas.errors import Undecodable
from schemas.record import Record
from schemas.records import Tick
from schemas.settings import KafkaSettings
from streams import metrics
from streams.faust_safety.contiguity import ContiguityGuard
from streams.faust_safety.ledger import Ledger, Source
from streams.processors.app import changelog_of
from streams.processors.deadlines import Deadlines
from streams.processors.marks import Deaths, Mark
from streams.processors.outputs import BrokenStep, Encoder, RecordCodec, check_disposition
from streams.processors.shell import Done, Shell
from streams.steps.contract import Coordinates, Event, KeyedStep, Poison, StatelessStep, Transition

State = TypeVar("State", bound=Record)
SCAN_PAUSE = 200
"""States that are read in one go while the deadlines of a partition are collected."""

log = structlog.get_logger(__name__)


class Stateless:
    """A stage without memory."""

    def __init__(self, step: StatelessStep, encoder: Encoder) -> None:
        self.name = step.stage
        self.sources = step.sources
        self._step = step
        self._encoder = encoder

    async def step(self, event: Event) -> Done:
        """See `streams.processors.shell.Stage.step`."""
        outputs = self._step.on_event(event)
        check_disposition(outputs, self.name, event.coordinates)
        return Done(self._encoder.encode(outputs, event.timestamp))

    async def tick(self, event: Event, shell: Shell) -> None:
        """A stage without memory has no clock."""
        raise BrokenStep(f"stage {self.name} has no table and no clock")


class Keyed(Generic[State]):
    """A stage with one state a key, kept as framed bytes in a Faust table."""

    def __init__(
        self,
        step: KeyedStep[State],
        table: Any,
        codec: RecordCodec,
        encoder: Encoder,
        clock: "Clock",
        partition_of: Callable[[bytes], int],
        partitions: int,
    ) -> None:
        self.name = step.stage
        self.sources = step.sources
        self._step = step
        self._table = table
        self._codec = codec
        self._encoder = encoder
        self._clock = clock
        self._partition_of = partition_of
        self._partitions = partitions
        self._changelog = changelog_of(step.stage)

    async def step(self, event: Event) -> Done:
        """See `streams.processors.shell.Stage.step`."""
        key = self._step.key_of(event)
        partition = event.coordinates.partition
        right = self._partition_of(key.encode())
        if right != partition:
            raise Poison(
                "wrong_partition",
                f"key {key!r} belongs to partition {right} of {self._partitions} (murmur2), the record "
                f"stands in {partition}: its producer uses another partitioner or key",
            )
        transition = self._step.on_event(self._state(key), event)
        check_disposition(transition.outputs, self.name, event.coordinates)
        return self._done(partition, key, transition, event)

    async def tick(self, event: Event, shell: Shell) -> None:
        """Fires what is due, where the sources were read up to the tick."""
        assert isinstance(event.record, Tick)
        tick, partition = event.record, event.coordinates.partition
        if (tick.partition, tick.partitions) != (partition, self._partitions):
            raise Poison(
                "wrong_tick",
                f"the tick is for partition {tick.partition} of {tick.partitions}, it stands in "
                f"{partition} of {self._partitions}: restart the ticker",
            )
        until_done = shell.patience.until_done
        if not await until_done(lambda: self._clock.has_come(tick)):
            metrics.HELD_TICKS.labels(self.name).inc()
            return
        deadlines = await until_done(lambda: self._clock.of_partition(partition, self._scan))
        fired = [
            await until_done(partial(self._fire, partition, key, event, tick))
            for key in deadlines.pop_due(tick.at, self._clock.most_at_once)
            if self._clock.enter(partition, key)
        ]
        self._clock.leave(event.coordinates)
        await shell.fire(fired)
        metrics.DEADLINES.labels(self.name).inc(len(fired))

    async def _fire(self, partition: int, key: str, event: Event, tick: Tick) -> Done:
        state = self._state(key)
        if state is None:
            return Done(())
        try:
            transition = self._step.on_deadline(state, key, tick.at)
            return self._done(partition, key, transition, event)
        except Poison as poison:
            raise BrokenStep(f"on_deadline of {key!r} raised Poison ({poison.kind})") from poison

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

    def _done(self, partition: int, key: str, transition: Transition[State], event: Event) -> Done:
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
            # also where nothing changed: after a crash the local table may know what the changelog lacks
            if value is None:
                del self._table[raw]
            else:
                self._table[raw] = value
            self._clock.set(partition, key, when)

        return Done(outputs, put)

    async def _scan(self, partition: int) -> Deadlines:
        """The deadlines of every state in `partition`."""
        found = Deadlines()
        store = self._table.data
        for number, (key, value) in enumerate(store._visible_items(store._db_for_partition(partition))):
            found.set(key.decode(), self._step.deadline(self._read(value)))
            if number % SCAN_PAUSE == 0:
                await asyncio.sleep(0)
        log.info("deadlines collected", stage=self.name, partition=partition, deadlines=len(found))
        return found


class Clock:
    """When deadlines may fire, and which."""

    def __init__(
        self,
        stage: str,
        kafka: KafkaSettings,
        ledger: Ledger,
        guard: ContiguityGuard,
        mark: Mark,
        deaths: Deaths,
        deaths_allowed: int,
        most_at_once: int,
    ) -> None:
        self.most_at_once = most_at_once
        self._stage = stage
        self._kafka = kafka
        self._ledger = ledger
        self._guard = guard
        self._mark = mark
        self._deaths = deaths
        self._deaths_allowed = deaths_allowed
        self._version = version("opoi")
        self._partitions: dict[int, Deadlines] = {}
        self._seen: dict[Source, int] = {}

    def forget(self) -> None:
        """The assignment changes."""
        self._partitions.clear()
        self._seen.clear()

    def set(self, partition: int, key: str, when: Any) -> None:
        """The deadline of `key`, where those of its partition were collected already."""
        deadlines = self._partitions.get(partition)
        if deadlines is not None:
            deadlines.set(key, when)

    async def of_partition(self, partition: int, scan: Callable[[int], Awaitable[Deadlines]]) -> Deadlines:
        """The deadlines of `partition`, collected by `scan` at the first tick of an assignment."""
        if partition not in self._partitions:
            assignment = self._ledger.assignment
            found = await scan(partition)
            if assignment != self._ledger.assignment:
                return Deadlines()
            self._partitions[partition] = found
        return self._partitions[partition]

    async def has_come(self, tick: Tick) -> bool:
        """Whether every source was read up to where it ended when the tick was made."""
        for end in tick.end_offsets:
            source = Source(self._kafka.physical(end.topic), tick.partition)
            reached = await self._guard.begin(source)
            if reached >= end.offset:
                continue
            moved = self._seen.get(source) != reached
            self._seen[source] = reached
            # a log may end in transaction markers, which nobody reads; look only where nothing moves
            if moved or not await self._guard.passes(source, reached, end.offset):
                return False
            self._ledger.finish(source, end.offset - 1, self._ledger.assignment)
        return True

    def enter(self, partition: int, key: str) -> bool:
        """Marks that the deadline of `key` fires; False where that killed this version too often."""
        at = Coordinates(f"deadline/{self._version}/{key}", partition, -1)
        if self._deaths.count(at) >= self._deaths_allowed:
            metrics.QUARANTINED_DEADLINES.labels(self._stage).inc()
            log.error(
                "a deadline that killed the process is left alone: another version of opoi tries it again; "
                "to have this one do so, delete the file and restart the worker",
                stage=self._stage,
                key=key,
                file=str(self._deaths.file(at)),
            )
            return False
        self._mark.set(at)
        return True

    def leave(self, tick: Coordinates) -> None:
        """Back from the deadlines to the tick itself."""
        self._mark.set(tick)
