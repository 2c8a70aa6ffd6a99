"""What a request may take of the front: bytes, time, memory, rows; and that it ends with its client."""

import http.client
import random
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from clickhouse_connect.driver.client import Client

from local_stack.clickhouse.request import CODECS
from sinks.clickhouse import BatchRefused, ClickHouse, StatementRefused
from sinks.migrate import up
from sinks.settings import ClickHouseSettings
from sinks.tables import tables
from tests.engine.front_process import Front
from tests.samples import sample_row

MEBIBYTE = 1024 * 1024
SMALL = MEBIBYTE
ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
# the first of these never gives a block, the second one a second, the third many
LONG = [
    ENDLESS,
    "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1",
    "SELECT number FROM numbers(1000000000000) FORMAT TSV",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front that takes one mebibyte, and lets a query run for a second."""
    folder = tmp_path_factory.mktemp("small")
    front = Front(folder, "--body-bytes", str(SMALL), "--query-seconds", "1")
    with front.client() as client:
        client.command("CREATE TABLE texts (a String) ENGINE = MergeTree ORDER BY tuple()")
    yield front
    front.end()


def answered(request: urllib.request.Request) -> tuple[int, str]:
    """Status and text of the answer."""
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def post(
    front: Front, body: bytes, headers: dict[str, str] | None = None, **parameters: str
) -> tuple[int, str]:
    """Status and text of the answer to a POST."""
    address = f"{front.url}/?{urllib.parse.urlencode(parameters)}"
    return answered(urllib.request.Request(address, body, headers or {}))


def get(front: Front, query: str) -> tuple[int, str]:
    """Status and text of the answer to a GET."""
    return answered(urllib.request.Request(f"{front.url}/?{urllib.parse.urlencode({'query': query})}"))


def incompressible(size: int) -> str:
    """A text of that many characters."""
    return random.Random(1).randbytes(size // 2).hex()


class TestBody:
    """A body is bounded as it comes and as it is unpacked."""

    insert = "INSERT INTO opoi.texts FORMAT TSV"

    def test_as_much_as_allowed_is_taken(self, small: Front) -> None:
        data = b"x" * (SMALL - 1) + b"\n"
        assert post(small, data, query=self.insert)[0] == 200
        for name, codec in CODECS.items():
            packed = bytes(codec.compress(data))
            assert post(small, packed, {"Content-Encoding": name}, query=self.insert)[0] == 200

    def test_more_is_refused_and_said(self, small: Front) -> None:
        status, text = post(small, b"x" * (SMALL + 5), query=self.insert)
        assert status == 413
        assert f"the body has {SMALL + 5} bytes; a body may have {SMALL}" in text
        assert "send fewer rows at once (TOO_MANY_BYTES)" in text

    @pytest.mark.parametrize("name", CODECS)
    def test_more_is_refused_once_unpacked(self, small: Front, name: str) -> None:
        packed = bytes(CODECS[name].compress(b"x" * SMALL + b"\n"))
        status, text = post(small, packed, {"Content-Encoding": name}, query=self.insert)
        assert status == 413
        assert f"{len(packed)} bytes of {name} are more than {SMALL} bytes" in text

    def test_without_a_length_and_to_its_end(self, small: Front) -> None:
        """A client reads no answer while it sends, and takes a broken connection for an outage."""
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=30)
        chunks = (b"x" * 65536 for _ in range(1000))
        connection.request("POST", f"/?query={urllib.parse.quote(self.insert)}", chunks, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413
        assert f"the body has {65536 * 1000} bytes" in answer.read().decode()
        connection.close()

    def test_a_form_is_bounded_as_a_whole(self, small: Front) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="param_a%d"\r\n\r\n' + b"x" * 200_000 + b"\r\n"
        form = b"".join(part % number for number in range(8)) + b"--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        status, text = post(small, form, headers, query="SELECT 1")
        assert status == 413
        assert f"the body has {len(form)} bytes" in text

    def test_a_bomb_takes_no_memory(self, front: Front) -> None:
        packer = zlib.compressobj(1, wbits=31)
        zeros = bytes(MEBIBYTE)
        bomb = b"".join([*(packer.compress(zeros) for _ in range(768)), packer.flush()])
        process = psutil.Process(front.process.pid)
        post(front, b"SELECT 1")
        before, most, ended = process.memory_info().rss, 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not ended.wait(0.01):
                most = max(most, process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        status, _ = post(front, bomb, {"Content-Encoding": "gzip"})
        ended.set()
        watcher.join()
        assert status == 413
        assert most - before < 400 * MEBIBYTE

    def test_the_sinks_largest_batch_fits(self, front: Front) -> None:
        """`batch_bytes` and one record more, in texts that do not compress."""
        settings = ClickHouseSettings(url=front.url)
        up(settings)
        store = ClickHouse(settings)
        table = tables()["expert.verdicts"]
        text = incompressible(4 * MEBIBYTE)
        rows = [sample_row(table, rationale=text, verdict_id=str(number)) for number in range(9)]
        assert len(rows) * len(text) > settings.batch_bytes
        store.insert(table, rows)
        assert store.query(f"SELECT count() FROM {table.name}").result_rows == [(9,)]
        store.close()

    def test_a_batch_that_does_not_fit_is_refused_not_waited_for(self, small: Front) -> None:
        """The sink halves what is refused; waiting would be for ever."""
        settings = ClickHouseSettings(url=small.url)
        up(settings)
        store = ClickHouse(settings)
        table = tables()["expert.verdicts"]
        text = incompressible(MEBIBYTE // 2)
        rows = [sample_row(table, rationale=text, verdict_id=str(number)) for number in range(4)]
        with pytest.raises(BatchRefused, match="send fewer rows at once"):
            store.insert(table, rows)
        store.insert(table, rows[:1])
        store.close()


class TestQuery:
    """A read-only query has limits."""

    def test_time(self, small: Front) -> None:
        begun = time.monotonic()
        status, text = get(small, ENDLESS)
        assert status == 408
        assert "TIMEOUT_EXCEEDED" in text
        assert time.monotonic() - begun < 10

    def test_memory(self, front: Front) -> None:
        status, text = get(front, "SELECT length(groupArray(sipHash64(number))) FROM numbers(1000000000)")
        assert status == 500
        assert "MEMORY_LIMIT_EXCEEDED" in text

    @pytest.mark.parametrize("data_format", ["JSON", "TSV"])
    def test_rows(self, front: Front, data_format: str) -> None:
        _, text = get(front, f"SELECT 1 FROM numbers(20000000) FORMAT {data_format}")
        assert "TOO_MANY_ROWS_OR_BYTES" in text[-1000:]

    @pytest.mark.parametrize("data_format", ["JSON", "TSV"])
    def test_bytes(self, front: Front, data_format: str) -> None:
        _, text = get(
            front, f"SELECT repeat(char(65 + number % 20), 1000) FROM numbers(1000000) FORMAT {data_format}"
        )
        assert "TOO_MANY_ROWS_OR_BYTES" in text[-1000:]

    def test_the_command_says_what_to_do(self, front: Front) -> None:
        store = ClickHouse(ClickHouseSettings(url=front.url, timeout_seconds=6))
        with pytest.raises(StatementRefused, match=r"Timeout exceeded.*; ask for less: narrow WHERE"):
            store.read(ENDLESS)
        store.close()

    def test_a_front_that_is_full_of_queries_still_takes_rows(self, front: Front, client: Client) -> None:
        """Queries wait for one another, not for them an insert."""
        client.command("CREATE TABLE IF NOT EXISTS numbers_kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        asked = [Asked(front, ENDLESS) for _ in range(8)]
        try:
            asked[0].runs(client, at_least=8)
            asked += [Asked(front, ENDLESS) for _ in range(40)]
            time.sleep(0.5)
            begun = time.monotonic()
            assert post(front, b"INSERT INTO opoi.numbers_kept VALUES (1)")[0] == 200
            assert time.monotonic() - begun < 5
        finally:
            for each in asked:
                each.leave()
        asked[0].ends(client)


class Asked:
    """A query whose client can leave at any time."""

    def __init__(self, front: Front, query: str, method: str = "GET", **parameters: str) -> None:
        self.query = query
        text = query.encode()
        if method == "GET":
            parameters["query"] = query
        address = f"/?{urllib.parse.urlencode(parameters)}"
        head = f"{method} {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
        body = text if method == "POST" else b""
        self.socket = socket.create_connection(("127.0.0.1", front.port))
        self.socket.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)

    def leave(self) -> None:
        """Go away without a word."""
        self.socket.close()

    def running(self, client: Client) -> int:
        """How many queries of this text the engine runs."""
        sql = "SELECT count() FROM system.processes WHERE query = {query:String}"
        return int(client.query(sql, parameters={"query": self.query}).result_rows[0][0])

    def runs(self, client: Client, at_least: int = 1) -> None:
        """Wait until it does."""
        deadline = time.monotonic() + 20
        while self.running(client) < at_least:
            assert time.monotonic() < deadline, "the query did not begin"
            time.sleep(0.02)

    def ends(self, client: Client) -> None:
        """Wait until it does not."""
        deadline = time.monotonic() + 10
        while self.running(client):
            assert time.monotonic() < deadline, "the query runs without its client"
            time.sleep(0.02)


class TestClient:
    """A query ends with its client."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("query", LONG)
    def test_that_leaves(self, front: Front, client: Client, query: str, method: str) -> None:
        asked = Asked(front, query, method)
        asked.runs(client)
        asked.leave()
        asked.ends(client)
        begun = time.monotonic()
        assert get(front, "SELECT 1") == (200, "1\n")
        assert time.monotonic() - begun < 2

    def test_that_leaves_a_session_frees_it(self, front: Front, client: Client) -> None:
        asked = Asked(front, ENDLESS, "POST", session_id="left")
        asked.runs(client)
        asked.leave()
        asked.ends(client)
        deadline = time.monotonic() + 5
        while (found := post(front, b"SELECT getSetting('log_comment')", session_id="left"))[0] != 200:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def test_that_stays_gets_its_answer_while_others_leave(self, front: Front, client: Client) -> None:
        stays = threading.Thread(target=lambda: answers.append(get(front, "SELECT sleep(2)")))
        answers: list[tuple[int, str]] = []
        stays.start()
        leaves = Asked(front, ENDLESS)
        leaves.runs(client)
        leaves.leave()
        leaves.ends(client)
        stays.join()
        assert answers == [(200, "0\n")]


def test_a_front_that_is_stopped_ends_its_queries(tmp_path: Path) -> None:
    front = Front(tmp_path)
    with front.client() as client:
        asked = Asked(front, ENDLESS, "POST")
        asked.runs(client)
    begun = time.monotonic()
    front.end()
    assert time.monotonic() - begun < 15
    asked.leave()
