"""The migrations on the real engine: what they make is what is declared, and running them again is safe."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from sinks import ddl, migrate, migrations_folder
from sinks.clickhouse import ClickHouseAway
from sinks.migrate import MigrationRefused
from sinks.migrations_folder import migrations
from sinks.settings import ClickHouseSettings
from sinks.tables import INSERTED_AT, tables
from streams.cli.main import app
from streams.errors import UserError
from tests.engine.front_process import Front


@pytest.fixture
def settings(front: Front, request: pytest.FixtureRequest) -> Iterator[ClickHouseSettings]:
    """Settings of a database of the test's own."""
    chosen = ClickHouseSettings(url=front.url, database=f"try_{request.node.name.partition('[')[0]}")
    yield chosen
    with front.client() as client:
        client.command(f"DROP DATABASE IF EXISTS {chosen.database}")


def test_live_columns_are_the_declared_ones(settings: ClickHouseSettings, client: Client) -> None:
    assert migrate.up(settings) == migrations()
    live = client.query(
        "SELECT table, name, type, comment, default_expression FROM system.columns "
        "WHERE database = {database:String} AND table LIKE '%\\_raw' ORDER BY table, position",
        parameters={"database": settings.database},
    ).result_rows
    declared = [
        (table.name, column.name, column.type, column.comment, column.default)
        for table in sorted(tables().values(), key=lambda table: table.name)
        for column in (*table.landed, INSERTED_AT)
    ]
    assert live == declared


def test_every_table_has_the_declared_engine(settings: ClickHouseSettings, client: Client) -> None:
    migrate.up(settings)
    live = client.query(
        "SELECT name, engine, partition_key, replaceAll(sorting_key, '`', ''), comment FROM system.tables "
        "WHERE database = {database:String} AND name LIKE '%\\_raw' ORDER BY name",
        parameters={"database": settings.database},
    ).result_rows
    assert live == [
        (
            table.name,
            "ReplacingMergeTree",
            "toYYYYMM(_timestamp)",
            ", ".join(table.sort_key),
            table.topic.description,
        )
        for table in sorted(tables().values(), key=lambda table: table.name)
    ]


def test_every_view_can_be_read(settings: ClickHouseSettings, client: Client) -> None:
    migrate.up(settings)
    names = [name for table in tables().values() for name, _ in ddl.views(table)]
    assert len(set(names)) == len(names)
    for name in [*names, "stage_inputs"]:
        assert client.query(f"SELECT * FROM {settings.database}.{name}").result_rows == []


def test_up_is_done_once(settings: ClickHouseSettings) -> None:
    assert [step.applied_at for step in migrate.status(settings)] == [None] * len(migrations())
    assert migrate.up(settings, dry_run=True) == migrations()
    assert [step.applied_at for step in migrate.status(settings)] == [None] * len(migrations())
    assert migrate.up(settings) == migrations()
    assert None not in [step.applied_at for step in migrate.status(settings)]
    assert migrate.up(settings) == []


def test_a_run_that_died_is_run_again(settings: ClickHouseSettings, client: Client) -> None:
    migrate.up(settings)
    # as after a death between the last statement and the ledger
    client.command(f"TRUNCATE TABLE {settings.database}.schema_migrations")
    assert migrate.up(settings) == migrations()
    assert migrate.up(settings) == []


def test_a_changed_file_is_refused(
    settings: ClickHouseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.up(settings)
    for path in migrations_folder.MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text() + "\n")
    monkeypatch.setattr(migrate, "migrations", lambda: migrations(tmp_path))
    with pytest.raises(MigrationRefused, match="0001_landing was changed after it was applied"):
        migrate.up(settings)


def test_a_newer_database_is_refused(settings: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate.up(settings)
    monkeypatch.setattr(migrate, "migrations", lambda: migrations()[:1])
    with pytest.raises(MigrationRefused, match=r"is at migration \d+, this version of opoi knows 1"):
        migrate.up(settings)


def test_a_new_field_becomes_a_column_of_a_table_with_rows(
    settings: ClickHouseSettings, client: Client
) -> None:
    database = settings.database
    client.command(f"CREATE DATABASE {database} ENGINE = Atomic")
    client.command(
        f"CREATE TABLE {database}.t (x Array(Tuple(a String, b Array(Tuple(c Int32))))) "
        "ENGINE = MergeTree ORDER BY tuple()"
    )
    client.command(f"INSERT INTO {database}.t VALUES ([('one', [(1), (2)])])")
    client.command(
        f"ALTER TABLE {database}.t MODIFY COLUMN "
        "x Array(Tuple(a String, n Nullable(Int64), b Array(Tuple(d String, c Int64))))"
    )
    assert client.query(f"SELECT toString(x) FROM {database}.t").result_rows == [
        ("[('one',NULL,[('',1),('',2)])]",)
    ]


def test_an_absent_server_is_said(front: Front) -> None:
    with pytest.raises(ClickHouseAway, match=r"http://127\.0\.0\.1:1 does not answer"):
        migrate.status(ClickHouseSettings(url="http://127.0.0.1:1"))


class TestCommand:
    """`opoi migrate`."""

    @pytest.fixture(autouse=True)
    def _lead_there(self, settings: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPOI_CLICKHOUSE__URL", settings.url)
        monkeypatch.setenv("OPOI_CLICKHOUSE__DATABASE", settings.database)

    def run(self, *arguments: str) -> Any:
        """The command's result."""
        return CliRunner().invoke(app, ["migrate", *arguments])

    def test_up_and_status(self) -> None:
        missing = self.run("status", "--json")
        assert missing.exit_code == 3
        assert [step["applied_at"] for step in json.loads(missing.stdout)] == [None] * len(migrations())
        assert self.run("up").stdout.splitlines() == [f"{each.name} applied" for each in migrations()]
        assert self.run("up", "--json").stdout == "[]\n"
        done = self.run("status")
        assert done.exit_code == 0
        assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
            migration.name for migration in migrations()
        ]

    def test_a_dry_run_prints_the_statements_and_runs_none(self, settings: ClickHouseSettings) -> None:
        printed = self.run("up", "--dry-run").stdout
        assert printed.startswith(f"CREATE DATABASE IF NOT EXISTS `{settings.database}`")
        assert all(statement in printed for each in migrations() for statement in each.statements)
        assert self.run("status").exit_code == 3

    def test_a_changed_file_is_told_in_one_line(
        self, settings: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        migrate.up(settings)
        monkeypatch.setattr(migrate, "migrations", lambda: migrations()[:1])
        result = self.run("up")
        assert isinstance(result.exception, UserError)
        assert "use the newer version" in result.exception.message
