"""Avro schemas, Python types, tables and committed migrations agree."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.catalog import topics
from schemas.codec import record_type
from sinks import ddl
from sinks.columns import Column, columns_of
from sinks.generate import committed, difference, main
from sinks.tables import COORDINATES, DEAD_LETTERS, KAFKA_COLUMNS, Table, tables

RECORD_TABLES = [table for table in tables().values() if table.topic.record]


def reached(record: Any, path: tuple[str, ...]) -> bool:
    """Whether a path of fields exists in the Python type of a record."""
    fields = getattr(record, "model_fields", {})
    if path[0] not in fields:
        return False
    if len(path) == 1:
        return True
    annotation = fields[path[0]].annotation
    inner = [annotation, *getattr(annotation, "__args__", ())]
    return any(reached(kind, path[1:]) for kind in inner)


def test_every_topic_of_the_sink_has_a_table() -> None:
    wanted = {spec.name for spec in topics().values() if spec.sink and spec.record} | {DEAD_LETTERS}
    assert set(tables()) == wanted


@pytest.mark.parametrize("table", RECORD_TABLES, ids=lambda table: table.name)
def test_columns_and_python_type_agree(table: Table) -> None:
    assert table.topic.record is not None
    kind = record_type(table.topic.record)
    assert all(reached(kind, column.path) for column in table.columns)
    assert {column.path[0] for column in table.columns} == set(kind.model_fields)


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_one_coordinate_is_one_row(table: Table) -> None:
    assert table.sort_key[-3:] == COORDINATES
    names = {column.name for column in table.landed}
    assert set(table.identity) | set(table.version) <= names
    nullable = {column.name for column in table.landed if column.nullable}
    assert not nullable & set(table.sort_key)


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_every_column_says_what_it_holds(table: Table) -> None:
    assert [column.name for column in table.landed if not column.comment.endswith(".")] == []


def test_types() -> None:
    columns = {column.name: column for column in columns_of("Review")}
    assert columns["status"].type == "LowCardinality(String)"
    assert columns["verdict_kind"].type == "LowCardinality(Nullable(String))"
    assert columns["verdict_given_at"].type == "Nullable(DateTime64(3, 'UTC'))"
    assert columns["verdict_adjudicates"].type == "Array(String)"
    assert columns["decision"].type == "Nullable(String)"
    assert columns["time_to_verdict_ms"].type == "Nullable(Int64)"
    assert {column.name: column.type for column in columns_of("Alert")}["labels"] == "Map(String, String)"
    [scores] = [column for column in columns_of("OodScore") if column.name == "base_scores"]
    assert [element.name for element in scores.elements] == ["kind", "log_probability_sum", "token_count"]


def test_the_committed_migrations_are_the_declared_tables() -> None:
    assert main(["--check"]) == 0


def test_what_changed_becomes_the_next_migration() -> None:
    table = tables()["expert.verdicts"]
    kind = table.columns[6]
    changed = replace(
        table,
        columns=(
            table.columns[0],
            Column("mood", "Nullable(String)", "How it was said."),
            *table.columns[1:6],
            replace(kind, comment="Changed."),
            *table.columns[7:],
        ),
    )
    state = committed()
    altered, views = difference(state, {**tables(), "expert.verdicts": changed})
    assert altered == [
        "ALTER TABLE expert_verdicts_raw ADD COLUMN IF NOT EXISTS "
        "`mood` Nullable(String) COMMENT 'How it was said.' AFTER `agent`;",
        f"ALTER TABLE expert_verdicts_raw MODIFY COLUMN {ddl.column(changed.columns[7])};",
    ]
    # a view's columns are those of its table when it was made
    assert views == [statement for _, statement in ddl.views(changed)]
    for statement in altered:
        state.apply(statement)
    assert difference(state, {**tables(), "expert.verdicts": changed})[0] == []


def test_kafka_columns_clash_with_no_field() -> None:
    kafka = {column.name for column in KAFKA_COLUMNS}
    assert not any(kafka & {column.name for column in table.columns} for table in tables().values())
