"""Writes everything of a worker in a thread of its own, so that a slow broker never delays its polls.

A publication is encoded, sent and flushed; only then is it reported. A refused record ends the process.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from confluent_kafka import KafkaException

from schemas.errors import NotRegistered, RegistryAway
from schemas.log_events import REGISTRY_UNREACHABLE
from schemas.stages import DEAD_LETTERS
from streams.core.contract import Headers, Output, Poison
from streams.runtime import metrics
from streams.runtime.dead_letters import Letter
from streams.runtime.exit_codes import ExitCode, fail_stop
from streams.runtime.kafka_clients import CheckedProducer, DeliveryFailed
from streams.runtime.outputs import Encoded, Encoder
from streams.runtime.throttled_log import ThrottledLog

# an unreachable broker is waited for: the results cost money
WAIT_FOR_EVER = {"message.timeout.ms": 0}
_FLUSH_SECONDS = 7 * 24 * 3600.0
_LONGEST_WAIT = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Publication:
    """Outputs of one input, reported when all of them are acknowledged.

    `at`: broker time of the input.
    """

    outputs: tuple[Output, ...]
    at: datetime
    acknowledged: Callable[[], None]
    refused: Callable[[Poison], None]
    """Called instead of `acknowledged` if the outputs do not fit their topics; none was sent."""
    broken: Callable[[Exception], None]
    """Called if the outputs cannot be encoded; must not return."""
    letter: Letter | None = None
    headers: Headers = ()


class Publisher:
    """Sends publications in order.

    `report` is given `acknowledged` or `refused` of each publication and calls it, in any thread.
    """

    def __init__(
        self,
        stage: str,
        producer: CheckedProducer,
        encoder: Encoder,
        report: Callable[[Callable[[], None]], None],
    ) -> None:
        self._stage = stage
        self._producer = producer
        self._encoder = encoder
        self._report = report
        self._queue: queue.SimpleQueue[Publication] = queue.SimpleQueue()
        self._oldest: float | None = None
        self._log = ThrottledLog(log)
        threading.Thread(target=self._run, name="publisher", daemon=True).start()

    def put(self, publication: Publication) -> None:
        """Takes a publication and returns at once."""
        self._queue.put(publication)

    @property
    def waiting_seconds(self) -> float:
        """Seconds since the batch in hand was begun; 0 without one."""
        since = self._oldest
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            self._oldest = time.monotonic()
            try:
                done = [self._send(publication) for publication in batch]
                self._producer.flush(_FLUSH_SECONDS)
            except (KafkaException, DeliveryFailed) as error:
                fail_stop(
                    ExitCode.PRODUCE_FAILED,
                    f"the broker did not take a record of {self._stage} ({error}); stopping, nothing is "
                    "committed past it: check the topics' limits and this worker's permissions",
                )
            self._oldest = None
            for callback in done:
                self._report(callback)

    def _send(self, publication: Publication) -> Callable[[], None]:
        """Hands a publication to the producer; returns what to report after the flush."""
        try:
            outputs = self._encoded(publication)
        except Poison as poison:
            return partial(publication.refused, poison)
        if (letter := publication.letter) is not None:
            self._producer.send(DEAD_LETTERS, letter.key, letter.value, headers=letter.headers)
        for output in outputs:
            self._producer.send(output.topic, output.key, output.value, headers=publication.headers)
            metrics.OUTPUTS.labels(self._stage, output.topic).inc()
        return publication.acknowledged

    def _encoded(self, publication: Publication) -> list[Encoded]:
        wait = 0.2
        while True:
            try:
                return self._encoder.encode(publication.outputs, publication.at)
            except (RegistryAway, NotRegistered) as error:
                self._log.emit(REGISTRY_UNREACHABLE, error=str(error))
                metrics.WAITS.labels(self._stage).inc()
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            except Poison:
                raise
            except Exception as error:
                publication.broken(error)
                raise
