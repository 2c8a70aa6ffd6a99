"""The migrations as text: statements, the cluster's form, the ledger's order."""

from pathlib import Path

import pytest

from sinks import migrate
from sinks.migrations_folder import migrations, statements
from sinks.settings import ClickHouseSettings


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    text = "-- about; this\nCREATE TABLE a\n(\n  x Int8 COMMENT 'one; two'\n);\n\nDROP VIEW b;\n"
    assert statements(text) == ["CREATE TABLE a\n(\n  x Int8 COMMENT 'one; two'\n);", "DROP VIEW b;"]


def test_every_committed_statement_can_be_run_again() -> None:
    for migration in migrations():
        for statement in migration.statements:
            assert statement.startswith(
                ("CREATE TABLE IF NOT EXISTS ", "CREATE OR REPLACE VIEW ", "ALTER TABLE ")
            ), statement
            assert (
                not statement.startswith("ALTER TABLE ")
                or " ADD COLUMN " not in statement
                or (" IF NOT EXISTS " in statement)
            )


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        (
            "CREATE TABLE IF NOT EXISTS a\n(\n)\nENGINE = ReplacingMergeTree(x);",
            "CREATE TABLE IF NOT EXISTS a ON CLUSTER 'c'\n(\n)\nENGINE = ReplicatedReplacingMergeTree(x);",
        ),
        ("CREATE OR REPLACE VIEW v AS\nSELECT 1;", "CREATE OR REPLACE VIEW v ON CLUSTER 'c' AS\nSELECT 1;"),
        (
            "ALTER TABLE a ADD COLUMN IF NOT EXISTS `b` Int8;",
            "ALTER TABLE a ON CLUSTER 'c' ADD COLUMN IF NOT EXISTS `b` Int8;",
        ),
        ("DROP VIEW IF EXISTS v;", "DROP VIEW IF EXISTS v ON CLUSTER 'c';"),
    ],
)
def test_on_a_cluster_everything_is_everywhere(statement: str, wanted: str) -> None:
    assert migrate.on("c", statement) == wanted
    assert migrate.on(None, statement) == statement


def test_on_a_cluster_every_table_is_replicated() -> None:
    settings = ClickHouseSettings(cluster="c")
    for statement in migrate.statements(settings, migrations()):
        assert " ON CLUSTER 'c'" in statement.splitlines()[0]
        assert "\nENGINE = MergeTree" not in statement
        assert "\nENGINE = Replacing" not in statement


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["1_a.sql"], "a migration is called NNNN_name.sql"),
        (["0001_a.sql", "0003_b.sql"], "number 3 follows 1"),
        (["0001_a.sql", "0001_b.sql"], "number 1 follows 1"),
    ],
)
def test_a_folder_with_a_gap_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(ValueError, match=says):
        migrations(tmp_path)
