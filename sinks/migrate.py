"""Applies `sinks/migrations` to a database; safe to run again, and in several processes at once.

ClickHouse has no transactions over DDL, so every statement is idempotent, and a migration is recorded after
its last statement: after a crash, run it again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from sinks.clickhouse import ClickHouse, Connect, http_client
from sinks.migrations_folder import Migration, migrations
from sinks.settings import ClickHouseSettings

LEDGER = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    `number` UInt16 COMMENT 'Number of the migration.',
    `name` String COMMENT 'Its file, without .sql.',
    `checksum` String COMMENT 'sha256 of the file.',
    `opoi_version` String COMMENT 'Version of opoi that applied it.',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When.'
)
ENGINE = MergeTree
ORDER BY number
COMMENT 'Which migrations were applied.';"""

_HEAD = re.compile(
    r"\A((?:CREATE (?:OR REPLACE )?|ALTER |DROP )(?:TABLE|VIEW)(?: IF (?:NOT )?EXISTS)? \w+)", re.IGNORECASE
)
_ENGINE = re.compile(r"^ENGINE = (\w*MergeTree)", re.MULTILINE)


class MigrationRefused(Exception):
    """The database and the folder contradict each other; the text says where and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One migration and when it was applied; None: not yet."""

    migration: Migration
    applied_at: datetime | None


def status(settings: ClickHouseSettings, *, connect: Connect = http_client) -> list[Step]:
    """Every migration in order. Raises MigrationRefused, ClickHouseAway, StatementRefused."""
    server = ClickHouse(settings, connect=connect, database=False)
    try:
        ledger = _ledger(server)
    finally:
        server.close()
    known = migrations()
    for number, (name, checksum, _) in ledger.items():
        if number > len(known):
            raise MigrationRefused(
                f"{settings.database} at {settings.url} is at migration {max(ledger)}, this version of opoi "
                f"knows {len(known)}: use the newer version"
            )
        if checksum != known[number - 1].checksum:
            raise MigrationRefused(
                f"migration {name} was changed after it was applied (sha256 {checksum[:12]} then, "
                f"{known[number - 1].checksum[:12]} now): put it back and write a new migration"
            )
    return [
        Step(migration, ledger[migration.number][2] if migration.number in ledger else None)
        for migration in known
    ]


def up(
    settings: ClickHouseSettings, *, dry_run: bool = False, connect: Connect = http_client
) -> list[Migration]:
    """Applies the missing migrations and returns them; with `dry_run` only returns them.

    Raises MigrationRefused, ClickHouseAway, StatementRefused.
    """
    missing = [step.migration for step in status(settings, connect=connect) if step.applied_at is None]
    if dry_run or not missing:
        return missing
    server = ClickHouse(settings, connect=connect, database=False)
    server.command(create_database(settings))
    server.close()
    database = ClickHouse(settings, connect=connect)
    try:
        database.command(on(settings.cluster, LEDGER))
        for migration in missing:
            for statement in migration.statements:
                database.command(on(settings.cluster, statement))
            database.command(
                "INSERT INTO schema_migrations (number, name, checksum, opoi_version) VALUES "
                f"({migration.number}, '{migration.name}', '{migration.checksum}', '{version('opoi')}')"
            )
    finally:
        database.close()
    return missing


def statements(settings: ClickHouseSettings, missing: list[Migration]) -> Iterator[str]:
    """The statements that `up` runs for these migrations."""
    yield create_database(settings)
    yield on(settings.cluster, LEDGER)
    for migration in missing:
        for statement in migration.statements:
            yield on(settings.cluster, statement)


def create_database(settings: ClickHouseSettings) -> str:
    """The statement that creates the database."""
    cluster = f" ON CLUSTER '{settings.cluster}'" if settings.cluster else ""
    return f"CREATE DATABASE IF NOT EXISTS `{settings.database}`{cluster} ENGINE = Atomic;"


def on(cluster: str | None, statement: str) -> str:
    """The statement for a cluster: on every server, with replicated engines."""
    if cluster is None:
        return statement
    replicated = _ENGINE.sub(r"ENGINE = Replicated\1", statement)
    return _HEAD.sub(rf"\1 ON CLUSTER '{cluster}'", replicated)


def _ledger(server: ClickHouse) -> dict[int, tuple[str, str, datetime]]:
    """Name, checksum and time by number; empty where nothing was applied yet."""
    database = server.settings.database
    there = server.query(
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        {"database": database},
    )
    if not there.result_rows[0][0]:
        return {}
    rows = server.query(
        f"SELECT number, argMin(name, applied_at), argMin(checksum, applied_at), min(applied_at) "
        f"FROM `{database}`.schema_migrations GROUP BY number ORDER BY number"
    ).result_rows
    return {number: (name, checksum, applied_at) for number, name, checksum, applied_at in rows}
