"""What a stack needs before its workers start: topics, schemas, tables, the reference agent."""

import time
from collections.abc import Callable, Iterator

from streams.cli.errors import UserError
from streams.local.progress import Progress
from streams.settings import Settings


def set_up(settings: Settings, progress: Progress) -> None:
    """What must be there before workers start: topics, schemas, tables. Doing it again changes nothing.

    Raises `UserError` where broker, registry or ClickHouse is away or refuses.
    """
    from schemas.errors import SchemaError
    from sinks.clickhouse import BatchRefused, ClickHouseAway, StatementRefused
    from sinks.migrate import MigrationRefused
    from streams.kafka_clients import DeliveryFailed

    expected = (
        SchemaError,
        BatchRefused,
        ClickHouseAway,
        StatementRefused,
        MigrationRefused,
        DeliveryFailed,
    )
    for title, step in set_up_steps(settings, progress.working):
        progress.working(title)
        begun = time.monotonic()
        try:
            step()
        except expected as error:
            raise UserError(f"{title}: {error}", exit_code=1) from error
        progress.line(f"{title}: as they should be ({time.monotonic() - begun:.1f} s)")


def set_up_steps(
    settings: Settings, report: Callable[[str], None]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """The steps of `set_up` with their titles, imported when they run."""
    from schemas.deploy import apply_schemas, apply_topics

    yield "topics", lambda: apply_topics(settings, report)
    yield "schemas", lambda: apply_schemas(settings, report)

    from sinks import migrate

    yield "tables", lambda: migrate.up(settings.clickhouse)

    from streams.registration import register_media_buyer

    yield "reference agent", lambda: register_media_buyer(settings)
