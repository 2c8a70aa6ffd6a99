"""Side inputs of the replay worker: pause, cancellations, daily spend."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from confluent_kafka import Message as KafkaMessage

from schemas.errors import RegistryAway, Undecodable
from schemas.log_events import REGISTRY_UNREACHABLE
from schemas.record import Record
from schemas.records import ReplayRequest
from schemas.settings import KafkaSettings
from streams.core.budgets import Allowance
from streams.core.contract import Output
from streams.core.message import Message
from streams.runtime.broadcast_topic import BroadcastTopic, left_out
from streams.runtime.model_runs.daily_budget import TOPIC as SPENDING
from streams.runtime.model_runs.daily_budget import DailySpend
from streams.runtime.model_runs.in_flight import ReplayJob, seconds_left
from streams.runtime.model_runs.pause import PauseTopic
from streams.runtime.outputs import RecordCodec
from streams.runtime.throttled_log import ThrottledLog
from streams.stages.replay import cancellations
from streams.stages.replay.cancellations import Cancellations
from streams.stages.replay.results import (
    cancelled_outputs,
    disposition_of,
    past_deadline_outputs,
    skipped_trace,
)

log = structlog.get_logger(__name__)


class _Records:
    """The decoded records of a whole topic; while the registry is unreachable they wait undecoded."""

    def __init__(
        self,
        kafka: KafkaSettings,
        codec: RecordCodec,
        topic: str,
        reader: str,
        take: Callable[[Record], None],
        since: datetime | None = None,
    ) -> None:
        self._codec = codec
        self._name = topic
        self._take = take
        self._waiting: deque[KafkaMessage] = deque()
        self.topic = BroadcastTopic(kafka, topic, reader, self._waiting.append, since)

    def fold(self) -> None:
        """Processes the records that were read. Raises RegistryAway."""
        while self._waiting:
            message = self._waiting[0]
            value = message.value()
            try:
                self._take(self._codec.decode(self._name, value if isinstance(value, bytes) else None))
            except Undecodable as error:
                left_out(message, self._name, error.kind, error.reason)
            except ValueError as error:
                left_out(message, self._name, "contract", str(error))
            self._waiting.popleft()


class Admission:
    """Decides whether a request runs, as of the last `refresh`. Not thread-safe."""

    def __init__(
        self, kafka: KafkaSettings, codec: RecordCodec, stage: str, allowed_a_day: Allowance
    ) -> None:
        self.controls = PauseTopic(kafka, stage)
        self._allowed = allowed_a_day
        self._log = ThrottledLog(log)
        self._cancelled = Cancellations()
        self._spendings = DailySpend()
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._records = (
            _Records(kafka, codec, cancellations.TOPIC, f"{stage}-cancellations", self._cancelled.take),
            _Records(kafka, codec, SPENDING, f"{stage}-spending", self._spendings.take, today),
        )

    def catch_up(self) -> None:
        """Reads every side input to its present end. Raises BrokerAway, RegistryAway."""
        self.controls.catch_up()
        for records in self._records:
            records.topic.catch_up()
            records.fold()

    def refresh(self) -> None:
        """Reads new records without waiting; the pause topic is read by `Monitor`."""
        for records in self._records:
            records.topic.refresh()
            try:
                records.fold()
            except RegistryAway as error:
                self._log.emit(REGISTRY_UNREACHABLE, error=str(error))

    def is_cancelled(self, request: ReplayRequest) -> bool:
        """Whether a newer verdict cancelled the request. Thread-safe."""
        return self._cancelled.covers(request)

    def outputs_if_rejected(self, arrived: Message, job: ReplayJob) -> tuple[Output, ...] | None:
        """The outputs of a request that must not run; None if it runs."""
        request = job.request
        if self.is_cancelled(request):
            return cancelled_outputs(arrived, job)
        if seconds_left(request) <= 0:
            return past_deadline_outputs(arrived, job)
        why = self._spendings.why_not(request.agent, self._allowed, datetime.now(UTC))
        if why is None:
            return None
        return skipped_trace(arrived, request, "exhausted", why), disposition_of(
            arrived, job, "emitted", "exhausted"
        )

    def close(self) -> None:
        """Closes the connections."""
        self.controls.close()
        for records in self._records:
            records.topic.close()
