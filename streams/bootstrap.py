"""Creates what a pipeline needs before its workers start: topics, schemas, tables."""

import time
from collections.abc import Callable, Iterable, Iterator

from streams.errors import UserError
from streams.settings import Settings

Step = tuple[str, Callable[[], object]]
"""A title and its action; a repeat changes nothing."""


def bootstrap(
    settings: Settings,
    working: Callable[[str], None],
    line: Callable[[str], None],
    further: Iterable[Step] = (),
) -> None:
    """Creates topics, schemas and tables, then runs `further`. A repeat changes nothing.

    `working` gets the title of the present step, `line` the result of a finished one. Raises `UserError` if
    broker, registry or ClickHouse is unreachable or refuses.
    """
    from schemas.errors import SchemaError
    from sinks.clickhouse import BatchRefused, ClickHouseAway, StatementRefused
    from sinks.migrate import MigrationRefused
    from streams.runtime.kafka_clients import DeliveryFailed

    expected = (
        SchemaError,
        BatchRefused,
        ClickHouseAway,
        StatementRefused,
        MigrationRefused,
        DeliveryFailed,
    )
    for title, step in (*bootstrap_steps(settings, working), *further):
        working(title)
        begun = time.monotonic()
        try:
            step()
        except expected as error:
            raise UserError(f"{title}: {error}", exit_code=1) from error
        line(f"{title}: ready ({time.monotonic() - begun:.1f} s)")


def bootstrap_steps(settings: Settings, report: Callable[[str], None]) -> Iterator[Step]:
    """The steps of `bootstrap` with their titles."""
    from schemas.deploy import apply_schemas, apply_topics
    from sinks import migrate

    yield "topics", lambda: apply_topics(settings, report)
    yield "schemas", lambda: apply_schemas(settings, report)
    yield "tables", lambda: migrate.up(settings.clickhouse)
