"""ClickHouse over HTTP: a server, or the front of the embedded engine."""

import logging
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, DataError, InterfaceError
from clickhouse_connect.driver.query import QueryResult

from sinks import read_only
from sinks.read_only import Limits, NotReadOnly
from sinks.settings import ClickHouseSettings
from sinks.tables import Table

# its errors reach us as exceptions, which are printed or logged once
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

Row = tuple[Any, ...]
Connect = Callable[[ClickHouseSettings, str | None], Client]

# errors that are not about the rows: the same insert can succeed later
_AWAY = {
    "ABORTED",
    "ALL_CONNECTION_TRIES_FAILED",
    "CANNOT_ALLOCATE_MEMORY",
    "CANNOT_FSYNC",
    "CANNOT_OPEN_FILE",
    "CANNOT_SCHEDULE_TASK",
    "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    "DEADLOCK_AVOIDED",
    "KEEPER_EXCEPTION",
    "MEMORY_LIMIT_EXCEEDED",
    "NETWORK_ERROR",
    "NOT_ENOUGH_SPACE",
    "QUERY_WAS_CANCELLED",
    "QUERY_WAS_CANCELLED_BY_CLIENT",
    "QUOTA_EXCEEDED",
    "S3_ERROR",
    "SERVER_OVERLOADED",
    "SOCKET_TIMEOUT",
    "TABLE_IS_READ_ONLY",
    "TIMEOUT_EXCEEDED",
    "TOO_FEW_LIVE_REPLICAS",
    "TOO_MANY_MUTATIONS",
    "TOO_MANY_PARTS",
    "TOO_MANY_SIMULTANEOUS_QUERIES",
    "TOO_SLOW",
    "UNKNOWN_STATUS_OF_INSERT",
    "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
}
# of an insert: not the rows' fault, and an operator must act
_TO_MEND = {
    "ACCESS_DENIED",
    "NO_SUCH_COLUMN_IN_TABLE",
    "READONLY",
    "TABLE_IS_DROPPED",
    "THERE_IS_NO_COLUMN",
    "UNKNOWN_DATABASE",
    "UNKNOWN_IDENTIFIER",
    "UNKNOWN_TABLE",
}
# of a query: it exceeds its limits, so another try would too
_TOO_MUCH = {"MEMORY_LIMIT_EXCEEDED", "TIMEOUT_EXCEEDED", "TOO_MANY_ROWS_OR_BYTES"}
_NO_LOGIN = {"AUTHENTICATION_FAILED", "REQUIRED_PASSWORD", "UNKNOWN_USER", "WRONG_PASSWORD"}


class ClickHouseAway(Exception):
    """ClickHouse does not answer, or cannot at the moment; the same statement can succeed later."""


class BatchRefused(Exception):
    """ClickHouse or its client refused the rows; at least one of them is invalid."""


class StatementRefused(Exception):
    """ClickHouse refused a statement that holds no rows."""


def http_client(settings: ClickHouseSettings, database: str | None) -> Client:
    """A client of the HTTP interface; `database` is None where it does not exist yet."""
    url = urlsplit(settings.url)
    return get_client(
        interface=url.scheme,
        host=url.hostname,
        port=url.port or (8443 if url.scheme == "https" else 8123),
        proxy_path=url.path,
        username=settings.user,
        password=settings.password.get_secret_value(),
        database=database,
        connect_timeout=5,
        send_receive_timeout=settings.timeout_seconds,
        # a session is a lock: two statements of one process could not run at once
        autogenerate_session_id=False,
        client_name="opoi",
    )


class ClickHouse:
    """One connection, opened on first use. Every error is typed."""

    def __init__(
        self,
        settings: ClickHouseSettings,
        *,
        connect: Connect = http_client,
        database: bool = True,
    ) -> None:
        self.settings = settings
        self._connect = connect
        self._database = settings.database if database else None
        self._client: Client | None = None

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Lands rows in the table's column order. Raises ClickHouseAway, BatchRefused.

        Sends no deduplication token: batches are cut by time, so a retried batch can hold other rows, and
        ClickHouse silently drops rows under a token that it knows. Instead, rows landed twice are harmless:
        their Kafka coordinates are in the table's sort key, and the views show each one once.
        """
        with self._errors(BatchRefused):
            self._connected().insert(
                table.name,
                rows,
                column_names=[column.name for column in table.landed],
                column_type_names=[column.type for column in table.landed],
                # acknowledged means written, whatever the server's profile says
                settings={"async_insert": 0},
            )

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> QueryResult:
        """Rows of a query with its `{name:Type}` parameters. Raises ClickHouseAway, StatementRefused.

        Settings that the server does not let this user change are left out.
        """
        with self._errors(StatementRefused):
            client = self._connected()
            changed = {
                name: value
                for name, value in settings.items()
                if not ((known := client.server_settings.get(name)) and known.readonly)
            }
            return client.query(sql, parameters=dict(parameters or {}), settings=changed)

    def read(self, statement: str, parameters: Mapping[str, str] | None = None) -> QueryResult:
        """Rows of an untrusted statement, which may only read tables, within limits.

        Raises ClickHouseAway, StatementRefused.
        """
        given = dict(parameters or {})
        for name in given:
            # without such a parameter the client would put the value into the text, past the check
            if not re.search(rf"\{{{re.escape(name)}:[^}}]+\}}", statement):
                raise StatementRefused(f"the statement has no parameter {{{name}:Type}}")
        # the client itself gives up five seconds later; the limit of memory is the server's own
        limits = Limits(seconds=max(1, self.settings.timeout_seconds - 5), memory_bytes=sys.maxsize)
        try:
            read_only.check(statement, given, limits, self._parse)
        except NotReadOnly as error:
            raise StatementRefused(str(error)) from None
        settings = {name: value for name, value in limits.settings().items() if name != "max_memory_usage"}
        try:
            return self.query(statement, given, readonly=2, **settings)
        except (ClickHouseAway, StatementRefused) as refusal:
            cause = refusal.__cause__
            if isinstance(cause, DatabaseError) and cause.name in _TOO_MUCH:
                raise StatementRefused(
                    f"{_first_line(cause)}; ask for less: narrow WHERE, add LIMIT, or aggregate"
                ) from cause
            raise

    def _parse(self, statement: str) -> tuple[str, bool]:
        """Implements `sinks.read_only.Parse`."""
        with self._errors(StatementRefused):
            try:
                [row] = self._connected().query(read_only.PARSE, {"statement": statement}).result_rows
            except DatabaseError as error:
                if error.name == "UNKNOWN_FUNCTION":
                    raise StatementRefused(
                        f"{self.settings.url} cannot show how it parses a statement, which ClickHouse can "
                        "from 26.8 on: use a named query, or clickhouse-client as a user who may only read"
                    ) from error
                if error.name == "BAD_ARGUMENTS":
                    raise NotReadOnly(read_only.ALLOWED) from error
                if error.name == "SYNTAX_ERROR":
                    raise StatementRefused(_first_line(error).partition(": In scope ")[0]) from error
                raise
        return row[0], bool(row[1])

    def command(self, sql: str) -> None:
        """Runs a statement. Raises ClickHouseAway, StatementRefused."""
        with self._errors(StatementRefused):
            self._connected().command(sql)

    def close(self) -> None:
        """Closes the connection; a later call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._connect(self.settings, self._database)
        return self._client

    @contextmanager
    def _errors(self, refused: type[Exception]) -> Iterator[None]:
        try:
            yield
        except (DataError, InterfaceError) as error:
            raise refused(_first_line(error)) from error
        except DatabaseError as error:
            said = _first_line(error)
            if error.name in _NO_LOGIN:
                raise ClickHouseAway(
                    f"{self.settings.url} refuses user {self.settings.user!r}: {said}; "
                    "set OPOI_CLICKHOUSE__USER and OPOI_CLICKHOUSE__PASSWORD"
                ) from error
            if error.name in _TO_MEND and refused is BatchRefused:
                raise ClickHouseAway(
                    f"{self.settings.url}: {said}; run `opoi migrate up`, or grant the insert"
                ) from error
            if error.code is None or error.name in _AWAY:
                raise ClickHouseAway(
                    f"{self.settings.url} does not answer: {_first_line(_root(error))}"
                ) from error
            raise refused(said) from error
        except ClickHouseError as error:
            raise ClickHouseAway(
                f"{self.settings.url} does not answer: {_first_line(_root(error))}"
            ) from error
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError, struct.error) as error:
            # what the client raises on a value that its column cannot carry
            raise refused(f"{type(error).__name__}: {_first_line(error)}") from error


def _root(error: BaseException) -> BaseException:
    """The network's error, inside of those of the client and its HTTP library."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _first_line(error: BaseException) -> str:
    """ClickHouse's own message, without the client's text around it."""
    text = str(error).strip().rpartition("DB::Exception: ")[2].partition(" (for url ")[0]
    return text.splitlines()[0][:500] if text else type(error).__name__
