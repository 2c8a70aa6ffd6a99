"""Runs a pure step on Faust: everything between the broker and the step.

An event is finished when its outputs and table changes are with the producer; the commit waits until the
broker has them. docs/faust.md tells what may happen to an event on the way.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import structlog

from schemas.errors import NotRegistered, Undecodable
from schemas.log_events import RECORD_RELEASED, TICK_REFUSED, WORKER_FAILED
from schemas.record import Record
from schemas.settings import KafkaSettings
from schemas.stages import DEAD_LETTERS, TICKS
from streams.core.contract import Event, Headers, Output, Poison, StatelessStep
from streams.core.message import Message, contract_topic, message_of, trace_headers
from streams.core.unread import Unread, last_offset
from streams.faust_runner.retry import RetryAborted, RetryPolicy
from streams.faust_runner.safety.contiguity import ContiguityGuard
from streams.faust_runner.safety.membership_fence import MembershipFence
from streams.faust_runner.safety.offset_tracker import OffsetTracker, Source
from streams.faust_runner.safety.publishing import produce_failed, stop_on_failure
from streams.faust_runner.safety.watchdog import WorkerProgress
from streams.runtime import metrics
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.exit_codes import ExitCode, fail_stop, frames, own_code
from streams.runtime.outputs import BrokenStep, Encoded, Encoder, RecordCodec, check_disposition

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StepResult:
    """Result of one event: records to send, and the key's new state if the stage is keyed."""

    outputs: Sequence[Encoded]
    put: Callable[[], None] | None = None


class Stage(Protocol):
    """What a keyed and a stateless stage do differently."""

    name: str
    sources: tuple[str, ...]

    async def step(self, event: Event) -> StepResult:
        """Runs the step on one event. Raises Poison, RegistryAway, and anything by its own fault."""

    async def tick(self, event: Event, runner: "StepRunner") -> None:
        """Hands the results of due deadlines to `runner.fire`."""


class Stateless:
    """A stage without memory."""

    def __init__(self, step: StatelessStep, encoder: Encoder) -> None:
        self.name = step.stage
        self.sources = step.sources
        self._step = step
        self._encoder = encoder

    async def step(self, event: Event) -> StepResult:
        """See `Stage.step`."""
        outputs = self._step.on_event(event)
        check_disposition(outputs, self.name, event.coordinates)
        return StepResult(self._encoder.encode(outputs, event.timestamp))

    async def tick(self, event: Event, runner: "StepRunner") -> None:
        """A stage without memory has no deadlines. Raises BrokenStep."""
        raise BrokenStep(f"stage {self.name} has no table and no clock")


@dataclass
class RunnerParts:
    """What a runner is made of."""

    app: Any
    kafka: KafkaSettings
    codec: RecordCodec
    encoder: Encoder
    tracker: OffsetTracker
    guard: ContiguityGuard
    fence: MembershipFence
    guards: CrashGuard
    letters: DeadLetters
    progress: WorkerProgress
    logical: dict[str, str] = field(default_factory=dict)
    """Logical topic name by physical one."""


class StepRunner:
    """Handles the events of one stage, one after another."""

    def __init__(self, stage: Stage, parts: RunnerParts) -> None:
        self._stage = stage
        self._parts = parts
        self._headers: Headers = ()
        self.retry = RetryPolicy(stage.name, parts.progress, self._is_aborted)

    def _is_aborted(self) -> bool:
        app = self._parts.app
        return bool(app.should_stop) or not app.flow_control.is_active()

    async def handle(self, message: Any) -> None:
        """One message of Faust. No exception leaves; an own fault ends the process."""
        parts = self._parts
        source = Source(message.topic, message.partition)
        assignment = parts.tracker.assignment
        if parts.tracker.is_held(source):
            return
        try:
            await self._until_member()
            admitted = await self.retry.until_done(lambda: parts.guard.admit(source, message.offset))
            if assignment != parts.tracker.assignment:
                raise RetryAborted("the partitions were revoked")
            if not admitted:
                metrics.REDELIVERED.labels(self._stage.name).inc()
                return
            arrived = message_of(message, parts.logical[message.topic])
            parts.guards.mark.set(arrived.coordinates)
            await self._process(arrived)
        except RetryAborted as error:
            RECORD_RELEASED.emit(log, topic=source.topic, reason=str(error))
            parts.tracker.hold(source, assignment)
        except NotRegistered as error:
            fail_stop(ExitCode.REFUSED, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the process ends by it
            # the message may hold what the record holds, so it is not for the log
            text = f": {error}" if isinstance(error, BrokenStep) else ""
            WORKER_FAILED.emit(log, exc_info=True)
            fail_stop(
                own_code(error),
                f"stage {self._stage.name} failed on {source.topic}-{source.partition} at {message.offset} "
                f"({type(error).__name__}{text}); stopping before it is acknowledged",
                frames=frames(error),
            )
        except BaseException:
            parts.tracker.hold(source, assignment)
            raise
        else:
            parts.tracker.finish(source, last_offset(message.value, message.offset), assignment)
            metrics.EVENTS.labels(self._stage.name, arrived.coordinates.topic).inc()
        finally:
            parts.guards.mark.clear()

    async def _until_member(self) -> None:
        await self.retry.until_true(self._parts.fence.holds, "the group coordinator does not answer")

    async def _process(self, arrived: Message) -> None:
        at = arrived.coordinates
        self._headers = trace_headers(arrived.headers)
        try:
            if why := self._parts.guards.why_dead(at):
                raise Poison("killed_the_process", why)
            if isinstance(arrived.value, Unread):
                raise Poison(arrived.value.kind, arrived.value.reason)
            topic = contract_topic(arrived, self._stage.sources)
            record = await self.retry.until_done(lambda: self._decode(topic, arrived))
            assert arrived.value is not None
            event = Event(at, topic, arrived.timestamp, arrived.key, arrived.value, record, arrived.headers)
            if topic.startswith(TICKS):
                await self._stage.tick(event, self)
            else:
                await self.send(await self.retry.until_done(lambda: self._step(event)))
        except Undecodable as error:
            await self._bury(arrived, Poison(error.kind, error.reason))
        except Poison as poison:
            await self._bury(arrived, poison)
        else:
            if not topic.startswith(TICKS):
                self._parts.guards.breaker.good()

    async def _decode(self, topic: str, arrived: Message) -> Record:
        return self._parts.codec.decode(topic, arrived.value)

    async def _step(self, event: Event) -> StepResult:
        self._parts.progress.step_since = time.monotonic()
        try:
            return await self._stage.step(event)
        finally:
            self._parts.progress.step_since = None

    async def send(self, done: StepResult) -> None:
        """Hands everything to the producer; the table first, so that no output refers to a lost state."""
        # the process may have been frozen during the step
        await self._until_member()
        if done.put is not None:
            done.put()
        for output in done.outputs:
            await self._send(output.topic, output.key, output.value, headers=self._headers)
            metrics.OUTPUTS.labels(self._stage.name, output.topic).inc()

    async def fire(self, deadlines: Sequence[StepResult]) -> None:
        """Sends the results of deadlines, and puts their states once the broker has all of it.

        No input is delivered again for a deadline that a crash cut short: a state put without its
        outputs would lose them.
        """
        await self._until_member()
        sent = []
        for output in (output for done in deadlines for output in done.outputs):
            sent.append(await self._send(output.topic, output.key, output.value, headers=self._headers))
            metrics.OUTPUTS.labels(self._stage.name, output.topic).inc()
        await asyncio.gather(*sent)
        await self._until_member()
        for done in deadlines:
            if done.put is not None:
                done.put()

    async def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers,
    ) -> Any:
        physical = self._parts.kafka.physical(topic)
        if key is None and value is None:
            # aiokafka sends no record without both; an empty key is the nearest that it takes
            key = b""
        try:
            future = await self._parts.app.producer.send(physical, key, value, None, None, list(headers))
        except Exception as error:  # noqa: BLE001  whatever it is, the record is not sent
            produce_failed(physical, error)
        future.add_done_callback(lambda done: stop_on_failure(physical, done))
        return future

    async def _bury(self, arrived: Message, poison: Poison) -> None:
        """Puts a record into the dead letters and waits until the broker has it."""
        name, at = self._stage.name, arrived.coordinates
        if at.topic.startswith(TICKS):
            TICK_REFUSED.emit(log, kind=poison.kind, error=poison.reason, offset=at.offset)
            return
        if why := self._parts.guards.breaker.refuse():
            self._parts.guards.mark.clear()
            fail_stop(
                ExitCode.BREAKER,
                f"stage {name} stops: {why}; the last one is {at.topic}-{at.partition} at {at.offset} "
                f"({poison.kind})",
            )
        letter = self._parts.letters.letter_of(arrived, kind=poison.kind, reason=poison.reason)
        outputs = self._parts.letters.dispositions(letter, arrived.value, arrived.timestamp)
        encoded = await self.retry.until_done(lambda: self._encode(outputs, arrived.timestamp))
        sent = await self._send(DEAD_LETTERS, letter.key, letter.value, headers=letter.headers)
        await sent
        await self.send(StepResult(encoded))
        self._parts.guards.deaths.forget(at)
        self._parts.letters.sent(letter)

    async def _encode(self, outputs: Sequence[Output], now: datetime) -> list[Encoded]:
        return self._parts.encoder.encode(outputs, now)
