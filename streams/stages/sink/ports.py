"""What the sink's loop works with, what it waits for, and how it stops."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.errors import BrokerAway, RegistryAway
from schemas.log_events import (
    BROKER_UNREACHABLE,
    CLICKHOUSE_UNREACHABLE,
    REGISTRY_UNREACHABLE,
    LogEvent,
)
from sinks.clickhouse import ClickHouseAway, Row
from sinks.tables import Table
from streams.core.contract import Coordinates, Headers
from streams.runtime.consumer import Delivery
from streams.runtime.exit_codes import ExitCode, WorkerStopped

UNREACHABLE: Mapping[type[Exception], tuple[str, LogEvent]] = {
    ClickHouseAway: ("clickhouse", CLICKHOUSE_UNREACHABLE),
    RegistryAway: ("registry", REGISTRY_UNREACHABLE),
    BrokerAway: ("broker", BROKER_UNREACHABLE),
}
"""What is waited for: its label in metrics, and its event."""


class SinkStopped(WorkerStopped):
    """The sink cannot go on; nothing after the last commit is committed."""

    def __init__(self, code: ExitCode, reason: str) -> None:
        super().__init__(code, f"{reason}; nothing after the last commit is committed")


class Store(Protocol):
    """ClickHouse, as much of it as is needed here."""

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Lands rows. Raises ClickHouseAway, BatchRefused."""


class Letters(Protocol):
    """The producer of dead letters."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, *, headers: Headers) -> None:
        """Hands one record over."""

    def flush(self) -> None:
        """Waits until all are acknowledged. Raises DeliveryFailed."""


class Consumer(Protocol):
    """What brings the records, `streams.runtime.consumer.WorkerConsumer`."""

    def start(self) -> None:
        """Joins the group."""

    def receive(self, most: int, seconds: float) -> list[Delivery]:
        """What came. Raises WorkerStopped."""

    def hold(self, held: bool) -> None:
        """Whether to hold back further records."""

    def commit(self) -> bool:
        """Commits what is done; False where the broker did not take it."""

    def close(self) -> None:
        """Leaves the group."""


def place(at: Coordinates) -> str:
    """Coordinates in a word."""
    return f"{at.topic}[{at.partition}]@{at.offset}"
