"""What a read-only statement may be, with trees made by hand; `tests/engine` has the engine's own."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from sinks.clickhouse import ClickHouse, StatementRefused
from sinks.read_only import Limits, NotReadOnly, check, reader_settings
from sinks.settings import ClickHouseSettings


def parsed(tree: dict[str, Any], *, is_whole: bool = True) -> None:
    """Check a statement that parses to `tree`."""
    check("SELECT ...", {}, Limits(), lambda _: (json.dumps(tree), is_whole))


def test_a_node_that_nobody_knows_is_refused() -> None:
    parsed({"type": "SelectQuery", "select": {"type": "ExpressionList", "children": []}})
    with pytest.raises(NotReadOnly, match="NewQuery is refused, only SELECT"):
        parsed({"type": "SelectQuery", "anything": [{"type": "NewQuery"}]})


def test_a_node_without_a_type_is_refused() -> None:
    with pytest.raises(NotReadOnly):
        parsed({"type": "SelectQuery", "anything": {"name": "file"}})


@pytest.mark.parametrize("name", ["out_file", "outfile_path", "is_into_outfile_with_stdout"])
def test_a_file_to_write_is_refused_whatever_it_is_called(name: str) -> None:
    with pytest.raises(NotReadOnly, match="INTO OUTFILE"):
        parsed({"type": "ShowTablesQuery", name: "x"})


def test_a_tree_that_does_not_tell_all_is_refused() -> None:
    with pytest.raises(NotReadOnly, match="tree of the statement is incomplete"):
        parsed({"type": "SelectQuery"}, is_whole=False)


def test_a_tree_too_deep_to_read_is_refused() -> None:
    deep = '{"type": "Subquery", "children": [' * 100_000 + "]}" * 100_000
    with pytest.raises(NotReadOnly, match="nested too deeply"):
        check("SELECT ...", {}, Limits(), lambda _: (deep, True))


def test_settings_of_a_request_are_kept_within_the_limits() -> None:
    limits = Limits(seconds=10)
    assert reader_settings({}, limits)["max_execution_time"] == "10"
    for given, kept in {
        "5": "5",
        "0.5": "0.5",
        "0.0000001": "10",
        "0": "10",
        "11": "10",
        "-1": "10",
        "1e9": "10",
        "x": "10",
    }.items():
        assert reader_settings({"max_execution_time": given}, limits)["max_execution_time"] == kept
    assert (
        reader_settings({"final": "1", "max_threads": "2"}, limits).items()
        >= {
            "final": "1",
            "max_threads": "2",
        }.items()
    )
    with pytest.raises(NotReadOnly, match="setting 'log_queries' may not be changed"):
        reader_settings({"log_queries": "1"}, limits)


class Server:
    """A client of a server that is older, or whose user cannot change settings."""

    def __init__(self, *, knows_parse: bool = True, readonly: bool = False) -> None:
        self.knows_parse = knows_parse
        self.sent: list[dict[str, Any]] = []
        self.server_settings = {
            name: SimpleNamespace(readonly=int(readonly)) for name in ("readonly", "max_execution_time")
        }

    def query(
        self, sql: str, parameters: dict[str, str], settings: dict[str, Any] | None = None
    ) -> SimpleNamespace:
        """As the stock client's."""
        if "parseQueryToJSON" in sql:
            if not self.knows_parse:
                raise DatabaseError(
                    "Code: 46. DB::Exception: Function with name `parseQueryToJSON` does not exist",
                    code=46,
                    name="UNKNOWN_FUNCTION",
                )
            return SimpleNamespace(result_rows=[(json.dumps({"type": "SelectQuery"}), 1)])
        self.sent.append(settings or {})
        return SimpleNamespace(result_rows=[(1,)])

    def connect(self, _: ClickHouseSettings, __: str | None) -> Client:
        """Takes the place of `http_client`."""
        return self  # type: ignore[return-value]  # as much of a client as is asked for


def test_an_older_server_is_named_and_what_to_do() -> None:
    server = Server(knows_parse=False)
    store = ClickHouse(ClickHouseSettings(), connect=server.connect)
    with pytest.raises(StatementRefused, match=r"from 26\.8 on: use a named query"):
        store.read("SELECT 1")
    assert server.sent == []


def test_a_user_who_cannot_change_settings_is_sent_none() -> None:
    server = Server(readonly=True)
    store = ClickHouse(ClickHouseSettings(), connect=server.connect)
    store.query("SELECT 1", readonly=2)
    assert server.sent == [{}]


def test_other_users_are_bound() -> None:
    server = Server()
    ClickHouse(ClickHouseSettings(timeout_seconds=60), connect=server.connect).read("SELECT 1")
    assert server.sent[0]["readonly"] == 2
    assert server.sent[0]["max_execution_time"] == 55
    assert "max_memory_usage" not in server.sent[0]
