"""Dependencies of the sink's loop, and the exception that stops it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.errors import BrokerAway, RegistryAway
from schemas.log_event import LogEvent
from schemas.log_events import (
    BROKER_UNREACHABLE,
    CLICKHOUSE_UNREACHABLE,
    REGISTRY_UNREACHABLE,
)
from sinks.clickhouse import ClickHouseAway, Row
from sinks.tables import Table
from streams.core.contract import Coordinates, Headers
from streams.runtime.delivery import Delivery
from streams.runtime.exit_codes import ExitCode, WorkerStopped

STAGE = "sink"

UNREACHABLE: Mapping[type[Exception], tuple[str, LogEvent]] = {
    ClickHouseAway: ("clickhouse", CLICKHOUSE_UNREACHABLE),
    RegistryAway: ("registry", REGISTRY_UNREACHABLE),
    BrokerAway: ("broker", BROKER_UNREACHABLE),
}
"""What is waited for: its label in metrics, and its event."""


class SinkStopped(WorkerStopped):
    """The sink cannot continue; nothing after the last commit is committed."""

    def __init__(self, code: ExitCode, reason: str) -> None:
        super().__init__(code, f"{reason}; nothing after the last commit is committed")


class Store(Protocol):
    """The part of ClickHouse that the loop needs."""

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Lands rows. Raises ClickHouseAway, BatchRefused."""


class Letters(Protocol):
    """The producer of dead letters."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, *, headers: Headers) -> None:
        """Hands one record over."""

    def flush(self) -> None:
        """Waits until all are acknowledged. Raises DeliveryFailed."""


class Consumer(Protocol):
    """The consumer, `streams.runtime.consumer.WorkerConsumer`."""

    def start(self) -> None:
        """Joins the group."""

    def receive(self, most: int, seconds: float) -> list[Delivery]:
        """Received records. Raises WorkerStopped."""

    def hold(self, held: bool) -> None:
        """Pauses or resumes the fetch of further records."""

    def commit(self) -> bool:
        """Commits finished offsets; False if the broker did not accept them."""

    def close(self) -> None:
        """Leaves the group."""


def place(at: Coordinates) -> str:
    """Coordinates in one word."""
    return f"{at.topic}[{at.partition}]@{at.offset}"
