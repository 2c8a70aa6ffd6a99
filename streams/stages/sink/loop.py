"""The loop of the sink: reads messages into a batch, lands the batch in ClickHouse, commits its offsets.

A batch is landed, its dead letters are acknowledged, then its offsets are committed. After a crash in between
all of it is repeated; rows that are landed twice are one row in the views. The sink waits for unreachable
services.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from schemas.errors import BrokerAway, RegistryAway
from schemas.log_events import BATCH_NOT_LANDED, REACHABLE
from schemas.stages import DEAD_LETTERS
from sinks import metrics as sink_metrics
from sinks.clickhouse import ClickHouseAway
from streams.core.contract import Coordinates
from streams.runtime import metrics
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import ExitCode, WorkerStopped
from streams.runtime.offsets import Source
from streams.runtime.throttled_log import ThrottledLog
from streams.stages.sink.batch import Batch, Entry, Refusal, insert_bisecting
from streams.stages.sink.ports import STAGE, UNREACHABLE, Consumer, Letters, SinkStopped, Store, place
from streams.stages.sink.refused_letters import UNKNOWN_TOPIC_ID, RefusedLetters

_TAKE = 500
_POLL_SECONDS = 0.1
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


class _Leaving(Exception):
    """The process was asked to stop while it waited; the text says for what."""


class Sink:
    """One worker of the sink. Not thread-safe; `stop` may be called from a signal handler."""

    def __init__(
        self,
        *,
        consumer: Callable[["Sink"], Consumer],
        entry_of: Callable[[Delivery], Entry],
        store: Store,
        letters: Letters,
        guards: CrashGuard,
        batch: Batch,
    ) -> None:
        self._consumer = consumer(self)
        self._entry_of = entry_of
        self._store = store
        self._letters = RefusedLetters(letters)
        self._guards = guards
        self._breaker = guards.breaker
        self._batch = batch
        self._inbox: deque[Delivery] = deque()
        self._stopping = False
        self._waiting = False
        self._failure: WorkerStopped | None = None
        self._log = ThrottledLog(log)
        self._on_turn: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """Asks `run` to land and commit the batch, and to leave the group."""
        self._stopping = True

    def behind(self) -> float:
        """Age in seconds of the oldest message in hand; 0 if there is none."""
        oldest = self._batch.oldest()
        return 0.0 if oldest is None else max(0.0, time.time() - oldest.timestamp())

    def run(self, on_turn: Callable[[], None] = lambda: None) -> None:
        """Works until `stop`; calls `on_turn` before each poll and insert. Raises SinkStopped."""
        self._on_turn = on_turn
        self._consumer.start()
        try:
            while not self._stopping:
                if not self._inbox:
                    self._receive(_POLL_SECONDS)
                self._take()
                if self._batch.is_due(time.monotonic()):
                    self._until_done(self._land)
                    self._finish()
            self._flush_once()
        except _Leaving as leaving:
            BATCH_NOT_LANDED.emit(log, error=str(leaving))
        except WorkerStopped as stopped:
            self._failure = stopped
            self._consumer.close()
            raise
        # after an unexpected exception, nothing more is landed or committed
        self._consumer.close()

    def _receive(self, seconds: float) -> None:
        self._on_turn()
        # a rebalance during the poll replaces the inbox
        came = self._consumer.receive(_TAKE, seconds)
        self._inbox.extend(came)
        if self._failure is not None:
            raise self._failure

    def _take(self) -> None:
        """Moves received messages into the batch, until it is full."""
        while self._inbox and not self._batch.is_full() and not self._stopping:
            delivery = self._inbox[0]
            if not self._may_join(delivery.arrived.coordinates):
                self._batch.close()
                return
            entry = self._until_done(lambda: self._entry(delivery))  # noqa: B023  it is called before the next turn
            if not self._inbox or self._inbox[0] is not delivery:
                continue  # its partition was revoked meanwhile
            self._inbox.popleft()
            topic = delivery.arrived.coordinates.topic
            if entry.refusal is None:
                self._breaker.good(f"read {topic}")
            else:
                self._count(f"read {topic}", entry, entry.refusal)
            self._batch.add(entry, time.monotonic())

    def _may_join(self, at: Coordinates) -> bool:
        """Whether a record may join the batch; suspects are landed in separate lots."""
        suspects, entries = self._guards.suspects, self._batch.entries
        if not suspects or not entries:
            return True
        careful = entries[0].arrived.coordinates in suspects
        return careful == (at in suspects) and (not careful or len(entries) < suspects.lot)

    def _entry(self, delivery: Delivery) -> Entry:
        """The entry of a record. Raises RegistryAway, BrokerAway, SinkStopped."""
        at = delivery.arrived.coordinates
        why = self._guards.why_dead(at)
        if not why or (at.topic == DEAD_LETTERS and self._guards.may_be_read(at)):
            with self._guards.mark.during(at, expected=(RegistryAway, BrokerAway)):
                return self._entry_of(delivery)
        if at.topic == DEAD_LETTERS:
            raise SinkStopped(
                ExitCode.DEAD_LETTER_REFUSED,
                f"{why}, the dead letter {place(at)}, which cannot become one again; start a version of "
                "opoi that can read it, or move the group's offset past it",
            )
        return Entry(delivery, UNKNOWN_TOPIC_ID, refusal=Refusal("killed_the_process", why))

    def _land(self) -> None:
        """Inserts the rest of the batch. Raises ClickHouseAway, SinkStopped."""
        places = self._batch.coordinates()
        self._guards.suspects.in_work(places)
        if len(places) == 1 and places[0] in self._guards.suspects:
            self._guards.mark.set(places[0])
        for name, entries in self._batch.to_land().items():
            for entry, reason in insert_bisecting(entries, self._insert):
                if reason is None:
                    self._breaker.good(f"land {name}")
                else:
                    self._refuse(entry, reason)
            self._batch.landed.add(name)

    def _insert(self, entries: Sequence[Entry]) -> None:
        table = entries[0].table
        assert table is not None
        # a batch may need many inserts, and each one is progress
        self._on_turn()
        with sink_metrics.INSERT_SECONDS.labels(table.name).time():
            self._store.insert(table, [entry.row for entry in entries if entry.row is not None])
        sink_metrics.ROWS.labels(table.name).inc(len(entries))

    def _refuse(self, entry: Entry, reason: str) -> None:
        assert entry.table is not None
        sink_metrics.REFUSED.labels(entry.table.name).inc()
        if entry.arrived.coordinates.topic == DEAD_LETTERS:
            raise SinkStopped(
                ExitCode.DEAD_LETTER_REFUSED,
                f"ClickHouse refuses the dead letter {place(entry.arrived.coordinates)}, which cannot "
                f"become one again: {reason}; mend table {entry.table.name} and start again",
            )
        refusal = Refusal("refused_by_clickhouse", reason)
        self._count(f"land {entry.table.name}", entry, refusal)
        entry.refusal = refusal

    def _count(self, kind: str, entry: Entry, refusal: Refusal) -> None:
        """Stops the sink before a bad deploy sends a whole topic to the dead letters."""
        if why := self._breaker.refuse(kind):
            raise SinkStopped(
                ExitCode.BREAKER,
                f"{why}; the last one ({place(entry.arrived.coordinates)}): {refusal.kind}: {refusal.reason}",
            )

    def _finish(self) -> None:
        """Completes a landed batch: sends its dead letters, then commits its offsets. Raises SinkStopped."""
        letters = self._batch.dead_letters()
        if letters:
            self._letters.send(letters)
        for entry in self._batch.entries:
            entry.delivery.done()
        self._guards.mark.clear()
        self._guards.suspects.in_work(())
        if self._guards.suspects:
            self._guards.suspects.clear(*self._batch.coordinates())
        self._batch.clear()
        if self._consumer.commit():
            sink_metrics.COMMITTED.set_to_current_time()

    def _until_done(self, attempt: Callable[[], Answer]) -> Answer:
        """The result of `attempt` once every service is reachable; polls meanwhile. Raises _Leaving."""
        wait = _FIRST_WAIT
        while True:
            try:
                answer = attempt()
            except (ClickHouseAway, RegistryAway, BrokerAway) as error:
                why = str(error)
                self._away(error)
            else:
                if self._waiting:
                    self._back()
                return answer
            end = time.monotonic() + wait
            while time.monotonic() < end:
                if self._stopping:
                    raise _Leaving(why)
                self._receive(min(wait, _POLL_SECONDS))
            wait = min(2 * wait, _LONGEST_WAIT)

    def _away(self, error: Exception) -> None:
        self._waiting = True
        self._consumer.hold(True)
        what, event = UNREACHABLE[type(error)]
        sink_metrics.AWAY.labels(what).set(1)
        metrics.WAITS.labels(STAGE).inc()
        self._log.emit(event, error=str(error))

    def _back(self) -> None:
        self._waiting = False
        self._consumer.hold(False)
        for what, event in UNREACHABLE.values():
            self._log.forget(event)
            sink_metrics.AWAY.labels(what).set(0)
        REACHABLE.emit(log)

    def _flush_once(self) -> None:
        """Lands and commits the batch, or leaves it to the next owner. Raises SinkStopped."""
        try:
            self._land()
        except ClickHouseAway as error:
            BATCH_NOT_LANDED.emit(log, error=str(error))
        else:
            self._finish()

    def revoked(self, going: frozenset[Source]) -> None:
        if not self._waiting and self._failure is None:
            try:
                self._flush_once()
            except SinkStopped as stopped:
                # no exception may leave the consumer's callback; the next poll raises this one
                self._failure = stopped
        self.drop(going)

    def drop(self, gone: frozenset[Source]) -> None:
        """Partitions were revoked: drops their records, which belong to the next owner."""
        self._batch.drop(gone)
        self._inbox = deque(one for one in self._inbox if one.source not in gone)
