"""What the replay worker writes about a record: an answer, or the record itself into the dead letters."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from sinks.dead_letters import dead_letter_headers
from streams import metrics
from streams.exit_codes import ExitCode, fail_stop
from streams.steps.contract import Coordinates, Output
from streams.workers.guards import Guards
from streams.workers.intake import Ticket
from streams.workers.publisher import Letter, Publication, Publisher
from streams.workers.requests import STAGE, dead

log = structlog.get_logger(__name__)


class Replies:
    """Publishes, and settles the tickets once everything is acknowledged."""

    def __init__(self, publisher: Publisher, guards: Guards) -> None:
        self.unacknowledged = 0
        self._publisher = publisher
        self._guards = guards

    def send(
        self,
        tickets: list[Ticket],
        outputs: tuple[Output, ...],
        *,
        letter: Letter | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes `outputs` about `tickets`, all of them one record; `then` runs when they are settled."""
        arrived = tickets[0].arrived
        self.unacknowledged += 1

        def acknowledged() -> None:
            self.unacknowledged -= 1
            for ticket in tickets:
                ticket.done()
            self._guards.harmless(arrived.coordinates)
            metrics.EVENTS.labels(STAGE, arrived.coordinates.topic).inc()
            then()

        def broken(error: Exception) -> None:
            log.error("the outputs break their contract", exc_info=error, **named(arrived.coordinates))
            self._guards.mark.set(arrived.coordinates)
            fail_stop(ExitCode.OWN_FAULT, at_fault(arrived.coordinates, error))

        traceparent = arrived.headers.get("traceparent")
        headers = {"traceparent": traceparent} if traceparent is not None else {}
        self._publisher.put(Publication(outputs, arrived.timestamp, acknowledged, broken, letter, headers))

    def answer(self, ticket: Ticket, output: Output) -> None:
        """Writes an answer that took no run."""
        self._guards.breaker.good()
        self.send([ticket], (output,))

    def bury(self, ticket: Ticket, kind: str, reason: str) -> None:
        """Puts a record into the dead letters; ends the process where that happens to most of them."""
        arrived, at = ticket.arrived, ticket.arrived.coordinates
        if why := self._guards.breaker.refuse():
            self._guards.mark.clear()
            fail_stop(
                ExitCode.BREAKER,
                f"stage {STAGE} stops: {why}; the last one ({at.topic}-{at.partition} at {at.offset}): "
                f"{kind}: {reason}",
            )
        headers = dead_letter_headers(
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            timestamp=arrived.timestamp,
            stage=STAGE,
            error_type=kind,
            error=reason,
            failed_at=datetime.now(UTC),
            headers=arrived.headers,
        )

        def buried() -> None:
            self._guards.deaths.forget(at)
            metrics.DEAD_LETTERS.labels(STAGE, kind).inc()
            log.warning("a record is in the dead letters", kind=kind, error=reason, **named(at))

        letter = Letter(arrived.key, arrived.value, dict(headers))
        self.send([ticket], (dead(arrived, kind),), letter=letter, then=buried)


def named(at: Coordinates) -> dict[str, Any]:
    """Coordinates as fields of a log line."""
    return {"topic": at.topic, "partition": at.partition, "offset": at.offset}


def at_fault(at: Coordinates, error: Exception) -> str:
    """What to say where a record finds a fault of ours."""
    return (
        f"stage {STAGE} failed on {at.topic}-{at.partition} at {at.offset} "
        f"({type(error).__name__}: {error}); stopping before it is acknowledged"
    )
