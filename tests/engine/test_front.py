"""The local ClickHouse front, asked by the stock client and by plain HTTP."""

import io
import json
import signal
import threading
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import fastavro
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.engine.front_process import Front

ROWS = [[1, "plain", datetime(2026, 3, 1, 12, 0, 0, 123000)], [2, "tab\tline\nquote'é", datetime(2026, 3, 2)]]


@pytest.fixture
def events(client: Client) -> str:
    """An empty table."""
    client.command("DROP TABLE IF EXISTS events")
    client.command(
        "CREATE TABLE events (id UInt32, name String, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id"
    )
    return "events"


def ask(front: Front, sql: str | bytes, headers: dict[str, str] | None = None, **parameters: str) -> Any:
    """POST `sql` as curl would; the response."""
    address = f"{front.url}/?{urllib.parse.urlencode(parameters)}"
    body = sql.encode() if isinstance(sql, str) else sql
    return urllib.request.urlopen(urllib.request.Request(address, body, headers or {}), timeout=30)


def refusal(
    front: Front, sql: str, headers: dict[str, str] | None = None, **parameters: str
) -> tuple[int, str]:
    """Status and exception code of a request that must fail."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(front, sql, headers, **parameters)
    with caught.value as error:
        return error.code, error.headers["X-ClickHouse-Exception-Code"]


def test_rows_that_the_client_inserts_come_back_as_they_were(client: Client, events: str) -> None:
    summary = client.insert(events, ROWS, column_names=["id", "name", "at"])
    assert summary.written_rows == 2
    assert client.query(f"SELECT * FROM {events} ORDER BY id").result_rows == [tuple(row) for row in ROWS]


@pytest.mark.parametrize("data_format", ["Native", "CSV", "Values", "JSONEachRow", "TabSeparated"])
def test_blank_lines_in_the_data_do_not_end_it(
    front: Front, client: Client, events: str, data_format: str
) -> None:
    """The engine reads a request as a script; 0x0A0A, the id of the first row, would end the data there."""
    rows = "SELECT toUInt32(2570 + number) AS id, 'one\n\ntwo' AS name FROM numbers(2)"
    data = ask(front, f"{rows} FORMAT {data_format}").read()
    verb = "VALUES" if data_format == "Values" else f"FORMAT {data_format}"
    ask(front, f"INSERT INTO opoi.{events} (id, name) {verb}\n".encode() + data).close()
    assert client.query(f"SELECT id, name FROM {events} ORDER BY id").result_rows == [
        (2570, "one\n\ntwo"),
        (2571, "one\n\ntwo"),
    ]


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_every_compression_that_the_client_speaks(front: Front, events: str, compress: str | bool) -> None:
    rows = [[number, "x" * 100, datetime(2026, 1, 1)] for number in range(5000)]
    with front.client(compress=compress) as client:
        client.insert(events, rows, column_names=["id", "name", "at"])
        assert client.query(f"SELECT count(), max(length(name)) FROM {events}").result_rows == [(5000, 100)]
        assert len(client.query(f"SELECT * FROM {events}").result_rows) == 5000


def test_raw_inserts_in_avro_csv_and_json(client: Client, events: str) -> None:
    schema = {
        "type": "record",
        "name": "Event",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "name", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
    avro = io.BytesIO()
    fastavro.writer(avro, schema, [{"id": 7, "name": "avro", "at": datetime(2026, 1, 1, tzinfo=UTC)}])
    assert client.raw_insert(events, insert_block=avro.getvalue(), fmt="Avro").written_rows == 1
    client.raw_insert(events, ["id", "name"], b'8,"csv; with, signs"\n', fmt="CSV")
    client.raw_insert(
        events, insert_block=b'{"id": 9, "name": "json"}\n', fmt="JSONEachRow", compression=None
    )
    found = client.query(f"SELECT id, name, at FROM {events} ORDER BY id").result_rows
    assert found[0] == (7, "avro", datetime(2026, 1, 1))
    assert [row[:2] for row in found[1:]] == [(8, "csv; with, signs"), (9, "json")]


def test_an_insert_larger_than_any_query_may_be(client: Client, events: str) -> None:
    block = b"".join(b"%d,%s\n" % (number, b"y" * 200) for number in range(20_000))
    client.raw_insert(events, ["id", "name"], block, fmt="CSV")
    assert client.query(f"SELECT count() FROM {events}").result_rows == [(20_000,)]


def test_an_insert_that_cannot_be_read_writes_nothing(client: Client, events: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert(events, ["id", "name"], b"1,good\nnot-a-number,bad\n", fmt="CSV")
    assert caught.value.code == 27
    assert client.query(f"SELECT count() FROM {events}").result_rows == [(0,)]


def test_parameters_of_every_kind(client: Client) -> None:
    sql = "SELECT {text:String}, {list:Array(UInt32)}, {none:Nullable(String)}, {at:DateTime64(3, 'UTC')}"
    values = {"text": "tab\t'\"\\n", "list": [1, 2], "none": None, "at": datetime(2026, 1, 1, 0, 0, 0, 5000)}
    assert client.query(sql, parameters=values).result_rows == [tuple(values.values())]


def test_parameters_too_long_for_an_address_travel_as_a_form(client: Client) -> None:
    numbers = list(range(30_000))
    assert client.query("SELECT length({n:Array(UInt32)})", parameters={"n": numbers}).result_rows == [
        (30_000,)
    ]


def test_a_setting_holds_for_its_query_alone(client: Client) -> None:
    sql = "SELECT toUInt64(getSetting('max_block_size'))"
    usual = client.query(sql).result_rows
    assert client.query(sql, settings={"max_block_size": 1234}).result_rows == [(1234,)]
    assert client.query(sql).result_rows == usual


def test_a_session_keeps_what_was_set_in_it(front: Front, client: Client) -> None:
    client.command("SET max_block_size = 77")
    client.command("CREATE TEMPORARY TABLE scratch (a UInt8)")
    client.command("INSERT INTO scratch VALUES (1)")
    sql = "SELECT toUInt64(getSetting('max_block_size')), (SELECT count() FROM scratch)"
    assert client.query(sql, settings={"max_block_size": 55}).result_rows == [(55, 1)]
    assert client.query(sql).result_rows == [(77, 1)]
    with front.client() as other, pytest.raises(DatabaseError, match="scratch"):
        other.query(sql)


def test_a_session_that_is_busy_or_unknown_is_refused(front: Front) -> None:
    slow = threading.Thread(target=lambda: ask(front, "SELECT sleep(1)", session_id="busy").close())
    slow.start()
    while ask(front, "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1)%'").read() < b"2":
        assert slow.is_alive()
    assert refusal(front, "SELECT 1", session_id="busy")[1] == "373"
    slow.join()
    assert refusal(front, "SELECT 1", session_id="never-seen", session_check="1")[1] == "372"


def test_an_error_carries_its_code_and_name(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM no_such_table")
    assert (caught.value.code, caught.value.name) == (60, "UNKNOWN_TABLE")


def test_errors_have_the_status_of_a_server(front: Front) -> None:
    assert refusal(front, "SELEC 1") == (400, "62")
    assert refusal(front, "SELECT * FROM nope") == (404, "60")
    assert refusal(front, "SELECT 1", no_such_setting="1") == (404, "115")
    assert refusal(front, "SELECT 1", database="nope") == (404, "81")
    assert refusal(front, "SELECT 1", compress="1") == (501, "48")
    assert refusal(front, "SELECT 1; SELECT 2") == (400, "62")
    assert refusal(front, "SELECT 1; SELECT 2 FORMAT CSV") == (400, "62")
    assert refusal(front, "garbage", {"Content-Encoding": "lz4"}) == (400, "271")


def test_rows_stream_and_an_error_among_them_is_told(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
        assert sum(len(block) for block in blocks) == 300_000
    failing = "SELECT throwIf(number = 150000) FROM numbers(200000) SETTINGS max_block_size = 1000"
    with client.query_row_block_stream(failing) as blocks, pytest.raises(StreamFailureError) as caught:
        for _ in blocks:
            pass
    assert caught.value.code == 395
    assert client.query("SELECT 1").result_rows == [(1,)]


def test_a_stream_that_is_left_frees_its_session(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(50000000)") as blocks:
        next(iter(blocks))
    assert client.query("SELECT 1").result_rows == [(1,)]


def test_plain_http_as_curl_speaks_it(front: Front) -> None:
    with ask(front, "SELECT 1 AS a, 'x' AS b FORMAT JSON") as answer:
        assert json.load(answer)["data"] == [{"a": 1, "b": "x"}]
        assert answer.headers["X-ClickHouse-Format"] == "JSON"
        assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    with ask(front, "", query="SELECT {n:UInt8} + 1", param_n="41", query_id="mine") as answer:
        assert answer.read() == b"42\n"
        assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    with ask(front, "SELECT 1, 2", default_format="CSV") as answer:
        assert answer.read() == b"1,2\n"
    with urllib.request.urlopen(f"{front.url}/") as answer:
        assert answer.read() == b"Ok.\n"


def test_what_is_asked_by_get_cannot_change_anything(front: Front, events: str) -> None:
    for statement in (
        f"INSERT INTO opoi.{events} (id) VALUES (1)",
        f"DROP TABLE opoi.{events}",
        "SET readonly = 0",
    ):
        address = f"{front.url}/?{urllib.parse.urlencode({'query': statement})}"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address)
        with caught.value as error:
            assert error.headers["X-ClickHouse-Exception-Code"] == "164"


def test_pages_in_a_browser_are_refused(front: Front) -> None:
    assert refusal(front, "SELECT 1", {"Origin": "https://example.org"}) == (403, "497")
    assert refusal(front, "SELECT 1", {"Sec-Fetch-Site": "cross-site"}) == (403, "497")
    assert refusal(front, "SELECT 1", {"Host": "rebound.example.org"}) == (403, "497")
    assert ask(front, "SELECT 1", {"Host": "localhost"}).read() == b"1\n"


def test_several_clients_write_at_once(front: Front, events: str) -> None:
    def write(start: int) -> None:
        with front.client() as client:
            for batch in range(5):
                rows = [[start + batch * 100 + number, "x", datetime(2026, 1, 1)] for number in range(100)]
                client.insert(events, rows, column_names=["id", "name", "at"])

    writers = [threading.Thread(target=write, args=(start * 1000,)) for start in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with front.client() as client:
        assert client.query(f"SELECT count(), uniqExact(id) FROM {events}").result_rows == [(2000, 2000)]


def test_the_database_is_atomic_and_can_be_backed_up(front: Front, client: Client, events: str) -> None:
    engine = client.query("SELECT engine FROM system.databases WHERE name = 'opoi'").result_rows
    assert engine == [("Atomic",)]
    client.insert(events, ROWS, column_names=["id", "name", "at"])
    target = f"File('{front.folder}/backups/one')"
    client.command(f"BACKUP TABLE {events} TO {target}")
    client.command(f"DROP TABLE {events}")
    client.command(f"RESTORE TABLE {events} FROM {target}")
    assert client.query(f"SELECT count() FROM {events}").result_rows == [(2,)]


def test_every_acknowledged_row_survives_a_kill(tmp_path: Path) -> None:
    front = Front(tmp_path)
    try:
        with front.client() as client:
            client.command("CREATE TABLE kept (id UInt32) ENGINE = MergeTree ORDER BY id")
            for number in range(20):
                client.insert("kept", [[number]], column_names=["id"])
        front.end(signal.SIGKILL)
        front.start()
        with front.client() as client:
            assert client.query("SELECT count(), max(id) FROM kept").result_rows == [(20, 19)]
    finally:
        front.end()


def test_a_folder_that_another_process_holds_is_refused_in_words(
    front: Front, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        Front(front.folder)
    said = capfd.readouterr().err
    assert f"{front.folder}/data cannot be opened, another process may hold it" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_the_client_settings_that_are_sent_by_default_are_understood(front: Front) -> None:
    """`get_client` itself asks for version, zone and settings: a front that lost them would fail here."""
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=front.port, settings={"max_threads": 1}
    ) as client:
        assert client.server_version.count(".") == 3
        assert str(client.server_tz) == "UTC"
        assert client.query("SELECT toUInt64(getSetting('max_threads'))").result_rows == [(1,)]


def test_settings_and_comments_of_an_insert_stay_where_they_belong(front: Front) -> None:
    ask(front, "CREATE TABLE default.placed (a UInt8) ENGINE = Memory")
    for head in ("SETTINGS max_insert_threads = 1 ", "-- a comment\n"):
        ask(front, f"INSERT INTO default.placed {head}FORMAT CSV\n1\n")
    assert ask(front, "SELECT count() FROM default.placed").read() == b"2\n"
