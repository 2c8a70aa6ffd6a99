"""The loop of the replay worker: reads requests, keeps runs in flight, commits finished ones.

One thread polls, decides and commits; each run has a thread; one thread publishes. At most `concurrency`
runs are started and not committed, so a crash repeats no more than those. A free place goes to the agent
with the fewest runs, and a run that waits for an unreachable service has no place. So a slow or unreachable
agent holds up no other, as long as there is room for its waiting requests.
"""

import queue
import time
from collections.abc import Callable
from typing import Any

import structlog

from schemas.catalog import topics
from schemas.errors import RegistryAway
from schemas.log_events import RUN_FAILED, RUNS_UNFINISHED
from schemas.settings import KafkaSettings
from schemas.stages import stage
from streams.core.contract import Output
from streams.runtime.consumer import WorkerConsumer
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import ExitCode, fail_stop, own_code
from streams.runtime.kafka_clients import CheckedProducer
from streams.runtime.model_runs import metrics
from streams.runtime.model_runs.circuit_breaker import CircuitBreaker
from streams.runtime.model_runs.in_flight import AWAY, Execute, ModelRun, RunOutcome, Runs
from streams.runtime.model_runs.in_work import InWork
from streams.runtime.model_runs.limits import MOST_UNACKNOWLEDGED, RunLimits
from streams.runtime.model_runs.monitor import Monitor
from streams.runtime.model_runs.targets import Targets
from streams.runtime.model_runs.waiting import Waiting
from streams.runtime.offsets import Source
from streams.runtime.outputs import Encoder, RecordCodec
from streams.runtime.publisher import WAIT_FOR_EVER, Publisher
from streams.stages.replay.admission import Admission
from streams.stages.replay.requests import REQUESTS, RETRY, STAGE
from streams.stages.replay.results import (
    Results,
    disposition_of,
    log_fields,
    outputs_of,
    own_fault_text,
    read_or_dead_letter,
    without_turns,
)

POLL_SECONDS = 0.02
CONSUMER = {
    # a worker that does not poll for so long is dead; a full one polls too
    "max.poll.interval.ms": 60_000,
    # each start of a run takes one record; a deep queue would be fetched and dropped
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 8 * 1024,
    "fetch.message.max.bytes": 256 * 1024,
}

log = structlog.get_logger(__name__)


class ReplayWorker:
    """Runs replays until `stop`. `execute` is called from up to `concurrency` threads."""

    def __init__(
        self,
        kafka: KafkaSettings,
        codec: RecordCodec,
        execute: Execute,
        admission: Admission,
        guards: CrashGuard,
        bounds: RunLimits,
        **consumer_overrides: Any,
    ) -> None:
        self._codec = codec
        self._guards = guards
        self._bounds = bounds
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self._fault: tuple[ExitCode, str] | None = None
        self._committed_at = 0.0
        self._commits_taken = True
        self._registry = CircuitBreaker("registry", on_change=metrics.setter_of("registry"))
        self._runs = Runs(execute, Targets(), self._events.put, self._landed, admission.is_cancelled)
        self._waiting = Waiting(self._runs, bounds)
        self._in_work = InWork(self._runs, guards)
        producer = CheckedProducer(kafka, **WAIT_FOR_EVER)
        written = {name: topics()[name] for name in stage(STAGE).writes}
        encoder = Encoder(STAGE, codec, written, without_turns)
        publisher = Publisher(STAGE, producer, encoder, self._events.put)
        self._results = Results(publisher, guards)
        self._admission = admission
        self._monitor = Monitor(admission.controls, publisher, bounds.hang_seconds)
        self._consumer = WorkerConsumer(
            kafka,
            STAGE,
            (REQUESTS, RETRY),
            guards,
            on_revoked=self._release,
            **{**CONSUMER, **consumer_overrides},
        )

    def stop(self) -> None:
        """Ends `run` within the drain budget. Safe to call from a signal handler."""
        self._stopping = True

    def run(self, on_turn: Callable[[], None] = lambda: None) -> int:
        """Works until stopped, calls `on_turn` in each turn; returns how many runs did not end in time.

        Ends the process if the worker itself is at fault. Raises ConsumerFailed.
        """
        self._consumer.start()
        while not self._stopping:
            on_turn()
            self._serve()
            self._admission.refresh()
            self._runs.expire()
            self._begin()
            self._commit_in_time()
            self._consumer.hold(self._must_hold())
            self._waiting.add(self._consumer.receive(1, POLL_SECONDS))
            self._monitor.update(self._runs.busy)
            if (hanging := self._monitor.hanging(self._runs.busy)) is not None:
                self._hangs(*hanging)
        self._drain(lambda _: True)
        self._consumer.close()
        self._admission.close()
        if self._fault is not None:
            fail_stop(*self._fault)
        return len(self._runs.busy)

    # intake

    def _is_ready(self) -> bool:
        return (
            not self._stopping
            and not self._monitor.paused
            and self._results.unacknowledged < self._bounds.concurrency + MOST_UNACKNOWLEDGED
        )

    def _may_begin(self) -> bool:
        return self._is_ready() and len(self._runs.busy) < self._bounds.concurrency

    def _must_hold(self) -> bool:
        """Whether to read no further records."""
        if not self._waiting.is_full:
            return not self._is_ready()
        self._monitor.is_full(waiting=len(self._runs.waiting))
        return True

    def _begin(self) -> None:
        """Starts waiting requests, as far as there is room."""
        self._waiting.drop()
        while self._may_begin():
            chosen = self._waiting.next(unread=self._registry.is_ready)
            if chosen is None:
                return
            at = (chosen.deliveries[0] if isinstance(chosen, ModelRun) else chosen).arrived.coordinates
            if self._in_work.must_wait(at):
                return
            # an unexpected exception leaves the mark set
            self._guards.mark.set(at)
            if isinstance(chosen, ModelRun):
                self._start(chosen)
            else:
                self._read(chosen)
            self._in_work.clear_mark()

    def _read(self, delivery: Delivery) -> None:
        permit = self._registry.acquire()
        assert permit is not None, "whether it is ready was asked just now"
        try:
            self._judge(delivery)
        except RegistryAway as error:
            self._registry.failure(permit, str(error))
        else:
            self._registry.success(permit)
            self._waiting.remove(delivery)

    def _judge(self, delivery: Delivery) -> None:
        """Decides what to do with a record. Raises RegistryAway."""
        job = read_or_dead_letter(delivery, self._codec, self._guards, self._results)
        if job is None:
            return
        flying = self._runs.get(job.request.replay_id)
        if flying is not None and flying.is_requested_by(delivery):
            # the same record, returned with its partition: it is done when the run is
            flying.deliveries.append(delivery)
            if flying.stage == "settled":
                delivery.done()
        elif flying is not None:
            flying.also_for(job)
            duplicate = disposition_of(delivery.arrived, job, "duplicate", "in_flight")
            self._results.send([delivery], (duplicate,), request=job.request)
        elif (rejected := self._admission.outputs_if_rejected(delivery.arrived, job)) is not None:
            self._results.send([delivery], rejected, request=job.request)
        else:
            self._start(ModelRun(job, [delivery]))

    def _start(self, flight: ModelRun) -> None:
        self._runs.begin(flight)
        self._in_work.changed()

    # results

    def _serve(self, seconds: float = 0.0) -> None:
        """Handles reports of runs and publisher, waiting at most `seconds` for the first."""
        try:
            self._events.get(block=seconds > 0, timeout=seconds or None)()
            while True:
                self._events.get_nowait()()
        except queue.Empty:
            return

    def _landed(self, flight: ModelRun, outcome: RunOutcome) -> None:
        delivery = next((delivery for delivery in flight.deliveries if delivery.live), None)
        if delivery is None:
            self._in_work.forget(flight)
        elif isinstance(outcome, AWAY):
            self._in_work.changed()
            if self._fault is None:
                self._in_work.clear_mark()
        else:
            try:
                outputs = outputs_of(delivery.arrived, flight.job, outcome)
            except Exception as error:  # noqa: BLE001 - whatever it is, the worker stops in order
                self._own_fault(flight, error)
            else:
                self._settle(flight, outputs)

    def _settle(self, flight: ModelRun, outputs: tuple[Output, ...]) -> None:
        def settled() -> None:
            flight.stage = "settled"

        flight.stage = "publishing"
        self._results.send(flight.deliveries, outputs, request=flight.job.request, then=settled)

    def _own_fault(self, flight: ModelRun, error: Exception) -> None:
        """Stops the worker; the other runs may still end, so that they are not run again."""
        at = flight.deliveries[0].arrived.coordinates
        RUN_FAILED.emit(log, exc_info=error, **log_fields(at))
        flight.stage = "failed"
        if self._fault is None:
            self._fault = own_code(error), own_fault_text(at, error)
            self._guards.mark.set(at)
        self._stopping = True

    def _hangs(self, flight: ModelRun, error: TimeoutError) -> None:
        if flight.wanted:
            self._own_fault(flight, error)
            return
        # its record belongs to another worker now, but it takes a place here as long as it runs
        self._fault = self._fault or (
            ExitCode.WATCHDOG,
            f"{error}, and its partition is another worker's; stopping to free its place",
        )
        self._stopping = True

    # revocation

    def _release(self, going: frozenset[Source]) -> None:
        """Partitions are about to be revoked: their runs may end within the drain budget."""
        self._waiting.drop(going)
        if not self._stopping:
            self._drain(lambda delivery: delivery.source in going)

    def _drain(self, concerns: Callable[[Delivery], bool]) -> None:
        end = time.monotonic() + self._bounds.drain_seconds

        def is_busy(flight: ModelRun) -> bool:
            mine = any(delivery.live and concerns(delivery) for delivery in flight.deliveries)
            return mine and flight.stage in ("running", "publishing")

        while self._results.unacknowledged or any(map(is_busy, self._runs)):
            if time.monotonic() > end:
                RUNS_UNFINISHED.emit(log, seconds=self._bounds.drain_seconds, runs=len(self._runs.busy))
                break
            self._serve(POLL_SECONDS)
            self._commit_in_time()
        self._commit()

    def _commit_in_time(self) -> None:
        """Commits at intervals, and at once if that makes room; a failed commit waits for the interval."""
        full = len(self._runs.busy) >= self._bounds.concurrency and self._commits_taken
        if full or time.monotonic() - self._committed_at >= self._bounds.commit_seconds:
            self._commit()

    def _commit(self) -> None:
        self._commits_taken = self._consumer.commit()
        self._committed_at = time.monotonic()
        for flight in self._runs:
            if flight.is_over:
                self._in_work.forget(flight)
