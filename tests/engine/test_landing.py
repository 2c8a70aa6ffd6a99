"""Rows into the real engine and out of the views."""

from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from sinks import migrate
from sinks.clickhouse import BatchRefused, ClickHouse, ClickHouseAway, StatementRefused
from sinks.rows import dead_letter_row
from sinks.settings import ClickHouseSettings
from sinks.tables import DEAD_LETTERS, Table, tables
from tests.engine.front_process import Front
from tests.samples import dead_letter, landing, sample_row

DATABASE = "landing"


@pytest.fixture(scope="module")
def migrated(front: Front) -> ClickHouseSettings:
    """A database with every table."""
    settings = ClickHouseSettings(url=front.url, database=DATABASE)
    migrate.up(settings)
    return settings


@pytest.fixture
def store(migrated: ClickHouseSettings, front: Front) -> Iterator[ClickHouse]:
    """The empty tables."""
    connected = ClickHouse(migrated)
    landed = "database = currentDatabase() AND name LIKE '%\\_raw' AND total_rows > 0"
    used = f"SELECT name FROM system.tables WHERE {landed}"
    for (name,) in connected.query(used).result_rows:
        connected.command(f"TRUNCATE TABLE {name}")
    yield connected
    connected.close()


def as_read(value: Any) -> Any:
    """What ClickHouse gives back of a value: bytes as text where they are, times without their zone."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if hasattr(value, "tzinfo"):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {as_read(name): as_read(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(as_read(item) for item in value)
    return value


@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_every_value_comes_back(store: ClickHouse, client: Client, table: Table, bare: bool) -> None:
    wanted = sample_row(table, bare=bare)
    store.insert(table, [wanted])
    names = [column.name for column in table.landed]
    columns = ", ".join(f"`{name}`" for name in names)
    [found] = client.query(
        f"SELECT {columns} FROM {DATABASE}.{table.name}", query_formats={"Tuple": "tuple"}
    ).result_rows
    assert dict(zip(names, found, strict=True)) == dict(zip(names, as_read(wanted), strict=True))


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_landed_twice_is_once_in_the_view(store: ClickHouse, table: Table) -> None:
    live = {"state": "live"} if table.topic.name == "opoi.training-examples" else {}
    rows = [sample_row(table, **live)]
    store.insert(table, rows)
    store.insert(table, rows)
    # the same record, sent twice by its producer
    store.insert(table, [sample_row(table, place={"offset": 8}, **live)])
    assert store.query(f"SELECT count() FROM {table.view}").result_rows == [(1,)]
    assert store.query(f"SELECT _offset FROM {table.view}").result_rows == [(7,)]
    store.command(f"OPTIMIZE TABLE {table.name} FINAL")
    assert store.query(f"SELECT count() FROM {table.name}").result_rows == [(2,)]


def test_the_highest_version_is_live_until_withdrawn(store: ClickHouse) -> None:
    table = tables()["opoi.training-examples"]
    first = sample_row(table, place={"offset": 9}, issue_number=1, state="live", weight=1.0)
    second = sample_row(table, place={"offset": 8}, issue_number=2, state="live", weight=2.0)
    withdrawn = sample_row(table, place={"offset": 7}, issue_number=3, state="withdrawn", weight=3.0)
    store.insert(table, [second, first])
    assert store.query("SELECT weight FROM training_examples").result_rows == [(2.0,)]
    store.insert(table, [withdrawn])
    assert store.query("SELECT weight FROM training_examples").result_rows == []
    assert store.query("SELECT weight FROM training_examples_versions ORDER BY issue_number").result_rows == [
        (1.0,),
        (2.0,),
        (3.0,),
    ]


def test_a_closing_outcome_beats_pending(store: ClickHouse) -> None:
    table = tables()["opoi.dispositions"]
    store.insert(table, [sample_row(table, place={"offset": 1}, outcome="pending", reason="waits")])
    assert store.query("SELECT outcome FROM dispositions").result_rows == [("pending",)]
    store.insert(table, [sample_row(table, place={"offset": 2}, outcome="emitted", reason="joined")])
    store.insert(table, [sample_row(table, place={"offset": 3}, outcome="expired", reason="again")])
    assert store.query("SELECT outcome, reason FROM dispositions").result_rows == [("emitted", "joined")]


def test_dispositions_of_a_broker_made_anew_are_other_ones(store: ClickHouse) -> None:
    table = tables()["opoi.dispositions"]
    place = [column.name for column in table.landed].index("_topic_id")
    before = sample_row(table)
    after = (*before[:place], "7a9fc1a2-5f6e-4d3c-8b7a-1e2d3c4b5a69", *before[place + 1 :])
    store.insert(table, [before])
    store.insert(table, [after])
    assert store.query("SELECT count() FROM dispositions").result_rows == [(2,)]


def test_a_dead_letter_sent_again_in_vain_is_one_failure(store: ClickHouse) -> None:
    table = tables()[DEAD_LETTERS]
    again = dead_letter(error_type="contract", replays=2)
    store.insert(table, [sample_row(table), dead_letter_row(b"x", again, landing(DEAD_LETTERS, offset=8))])
    assert store.query("SELECT error_type, redrives FROM dead_letters").result_rows == [("contract", 2)]
    assert store.query("SELECT count() FROM dead_letters_versions").result_rows == [(2,)]


def test_a_filter_on_the_identity_reaches_the_table(store: ClickHouse) -> None:
    store.insert(tables()["agent.decisions"], [sample_row(tables()["agent.decisions"])])
    plan = store.query(
        "EXPLAIN indexes = 1 SELECT rationale FROM agent_decisions WHERE agent = 'a' AND decision_id = 'd'"
    ).result_rows
    keys = [line.strip() for (line,) in plan if "Condition: and((" in line]
    assert len(keys) == 1
    assert "(agent in ['a', 'a'])" in keys[0]
    assert "(decision_id in ['d', 'd'])" in keys[0]


class TestErrors:
    """What ClickHouse and the client answer, typed."""

    def test_rows_that_break_a_constraint_are_refused_and_none_is_landed(self, store: ClickHouse) -> None:
        table = tables()["expert.verdicts"]
        store.command(f"ALTER TABLE {table.name} ADD CONSTRAINT small CHECK revision < 100")
        try:
            with pytest.raises(BatchRefused, match=r"Constraint `small` .* is violated"):
                store.insert(
                    table,
                    [sample_row(table, revision=1), sample_row(table, place={"offset": 8}, revision=100)],
                )
            assert store.query(f"SELECT count() FROM {table.name}").result_rows == [(0,)]
        finally:
            store.command(f"ALTER TABLE {table.name} DROP CONSTRAINT small")

    def test_a_value_that_its_column_cannot_carry_is_refused(self, store: ClickHouse) -> None:
        table = tables()["expert.verdicts"]
        with pytest.raises(BatchRefused):
            store.insert(table, [sample_row(table, revision=2**40)])

    def test_without_its_tables_clickhouse_is_waited_for(self, front: Front) -> None:
        table = tables()["expert.verdicts"]
        settings = ClickHouseSettings(url=front.url, database="nothing")
        with pytest.raises(ClickHouseAway, match="run `opoi migrate up`"):
            ClickHouse(settings).insert(table, [sample_row(table)])

    def test_nobody_there(self) -> None:
        table = tables()["expert.verdicts"]
        with pytest.raises(ClickHouseAway, match=r"http://127\.0\.0\.1:1 does not answer"):
            ClickHouse(ClickHouseSettings(url="http://127.0.0.1:1")).insert(table, [sample_row(table)])

    def test_what_only_reads_cannot_write(self, store: ClickHouse) -> None:
        with pytest.raises(StatementRefused, match="readonly mode"):
            store.query("INSERT INTO alerts_raw (name) VALUES ('x')", readonly=2)

    def test_a_wrong_statement_is_refused(self, store: ClickHouse) -> None:
        with pytest.raises(StatementRefused, match="Syntax error: failed at position 7"):
            store.query("SELEC 1")

    def test_a_connection_is_made_anew_after_the_server_came_back(
        self, store: ClickHouse, front: Front, client: Client
    ) -> None:
        table = tables()["expert.verdicts"]
        front.end()
        with pytest.raises(ClickHouseAway):
            store.insert(table, [sample_row(table)])
        front.start()
        store.insert(table, [sample_row(table)])
        assert store.query("SELECT count() FROM expert_verdicts").result_rows == [(1,)]
