"""The embedded ClickHouse engine: one data folder, many handles.

A handle is like a connection to a server: it has its own database, settings and temporary tables.
A request without a session gets a fresh one (0.3 ms); a session keeps its handle between requests.
"""

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from local_stack.clickhouse.reader import admit
from local_stack.clickhouse.request import (
    NOT_IMPLEMENTED,
    READER,
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    Query,
    engine_error,
    refused,
)
from local_stack.clickhouse.statement import InlineInsert, split
from sinks.read_only import Limits

MAX_SESSION_TIMEOUT = 3600.0


@dataclass
class Session:
    """A handle and the settings of its client."""

    handle: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    database: str = "default"
    active_database: str = "default"
    has_settings: bool = False
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer of a statement."""

    body: bytes
    statistics: dict[str, int]


class Engine:
    """The engine on one data folder; thread-safe. Raises `QueryError` where a server would answer an error.

    `config` is a file of `local_stack.clickhouse.config`; `limits` apply to read-only queries.
    """

    def __init__(self, data: Path, config: Path, limits: Limits | None = None) -> None:
        import chdb

        self._limits = limits or Limits()
        data.mkdir(parents=True, exist_ok=True)
        self._address = f"{data}?config-file={config}"
        self._connect = chdb.connect
        # held open: the engine shuts down with its last handle
        self._keeper = self._open()
        self._sessions: dict[str, Session] = {}
        self._sessions_lock = threading.Lock()

    def close(self) -> None:
        """End all sessions and the engine."""
        with self._sessions_lock:
            for session in self._sessions.values():
                session.handle.close()
            self._sessions.clear()
        self._keeper.close()

    def run(self, query: Query) -> Answer:
        """Run a statement to its end."""
        with self._session(query) as session, self._prepared(session, query):
            if query.keyword == "SET" and b"readonly" in query.text.lower():
                text = f"SET readonly: ask as user {READER!r}, or send readonly=1 with each request"
                raise refused(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", text)
            inline = split(query.text)
            if inline is not None:
                return self._insert(session.handle, query, inline)
            result = _engine(
                session.handle.query, query.text, query.default_format, params=dict(query.parameters)
            )
            self._note(session, query)
            return Answer(
                body=result.bytes() or b"",
                statistics={
                    "read_rows": result.storage_rows_read(),
                    "read_bytes": result.storage_bytes_read(),
                    "written_rows": result.rows_written(),
                    "written_bytes": result.bytes_written(),
                    "result_rows": result.rows_read(),
                    "result_bytes": result.bytes_read(),
                    "elapsed_ns": int(result.elapsed() * 1e9),
                },
            )

    @staticmethod
    def _insert(handle: Any, query: Query, inline: InlineInsert) -> Answer:
        """Reads the data as a file that only this process sees.

        The engine's own streaming insert reports rows as written that a constraint refused, and data
        inside the statement ends at its first blank line.
        """
        for name, value in query.parameters.items():
            _engine(handle.query, f"SET param_{name} = {_quoted(value)}")
        with open(os.memfd_create("insert"), "wb") as file:
            file.write(inline.data)
            file.flush()
            source = f"FROM INFILE '/proc/self/fd/{file.fileno()}' COMPRESSION 'none'"
            # a part may end in a line comment
            parts = (inline.statement, source, inline.settings, f"FORMAT {inline.format}")
            result = _engine(handle.query, "\n".join(part for part in parts if part))
        written, size = result.rows_written(), result.bytes_written()
        return Answer(
            body=b"",
            statistics={
                "read_rows": written,
                "read_bytes": size,
                "written_rows": written,
                "written_bytes": size,
                "elapsed_ns": int(result.elapsed() * 1e9),
            },
        )

    def stream(self, query: Query) -> Generator[bytes]:
        """Run a statement and yield its rows as the engine reads them; close the iterator to stop it."""
        split(query.text)  # refuses several statements
        with self._session(query) as session, self._prepared(session, query):
            result = _engine(
                session.handle.send_query, query.text, query.default_format, params=dict(query.parameters)
            )
            try:
                while (chunk := _engine(result.fetch)) is not None:
                    body = chunk.bytes()
                    if body:
                        yield body
            finally:
                result.close()

    def cancel(self, tag: str) -> None:
        """End the query that runs under `tag`, if one does; does not wait for its end."""
        handle = self._open()
        try:
            _engine(handle.query, f"KILL QUERY WHERE Settings['log_comment'] = {_quoted(tag)} ASYNC")
        finally:
            handle.close()

    def _open(self) -> Any:
        return _engine(self._connect, self._address)

    @staticmethod
    def _ask(handle: Any, sql: str, parameters: dict[str, str]) -> str:
        """The one row of a query, its columns separated by tabs."""
        answer: bytes = _engine(handle.query, sql, "TSVRaw", params=parameters).bytes()
        return answer.decode().removesuffix("\n")

    @contextmanager
    def _session(self, query: Query) -> Iterator[Session]:
        # a read-only query must not lift its own restriction: its handle is thrown away
        if query.session_id is None or query.read_only:
            session = Session(self._open())
            try:
                yield session
            finally:
                session.handle.close()
            return
        session = self._find(query)
        try:
            yield session
        finally:
            session.expires = time.monotonic() + min(query.session_timeout, MAX_SESSION_TIMEOUT)
            session.lock.release()

    def _find(self, query: Query) -> Session:
        """The query's session with its lock held; expired ones end here."""
        assert query.session_id is not None
        with self._sessions_lock:
            now = time.monotonic()
            for name, session in list(self._sessions.items()):
                if session.expires < now and session.lock.acquire(blocking=False):
                    session.handle.close()
                    del self._sessions[name]
            found = self._sessions.get(query.session_id)
            if found is None:
                if query.session_must_exist:
                    raise refused(
                        SESSION_NOT_FOUND, "SESSION_NOT_FOUND", f"Session {query.session_id} not found"
                    )
                found = self._sessions[query.session_id] = Session(self._open())
            if not found.lock.acquire(blocking=False):
                text = f"Session {query.session_id} is locked by a concurrent client"
                raise refused(SESSION_IS_LOCKED, "SESSION_IS_LOCKED", text)
            return found

    @contextmanager
    def _prepared(self, session: Session, query: Query) -> Iterator[None]:
        """Database and settings of one request on the session's handle, reset afterwards."""
        settings = dict(query.settings)
        if query.read_only:
            settings = admit(query, self._limits, partial(self._ask, session.handle))
        if query.tag:
            settings["log_comment"] = query.tag
        database = query.database or session.database
        if database != session.active_database:
            _engine(session.handle.query, f"USE {_quoted(database, '`')}")
            session.active_database = database
        if not settings:
            yield
            return
        before = self._values(session, settings) if session.has_settings else {}
        assigned = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
        _engine(session.handle.query, f"SET {assigned}")
        if query.read_only:
            _engine(session.handle.query, f"SET ROLE {READER}")
        try:
            yield
        finally:
            if query.session_id is not None and not query.read_only:
                for name in settings:
                    value = _quoted(before[name]) if name in before else "DEFAULT"
                    _engine(session.handle.query, f"SET {name} = {value}")

    @staticmethod
    def _values(session: Session, settings: dict[str, str]) -> dict[str, str]:
        """The `settings` that the session itself has changed, with their values."""
        names = ", ".join(_quoted(name) for name in settings)
        sql = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names}) FORMAT TSVRaw"
        lines = _engine(session.handle.query, sql).bytes().decode().splitlines()
        return dict(line.split("\t", 1) for line in lines)

    @staticmethod
    def _note(session: Session, query: Query) -> None:
        """Remember the statement's changes to its session."""
        if query.keyword == "SET":
            session.has_settings = True
        elif query.keyword == "USE":
            name = _engine(session.handle.query, "SELECT currentDatabase() FORMAT TSVRaw").bytes()
            session.database = session.active_database = name.decode().rstrip("\n")


def _engine(call: Any, *arguments: Any, **named: Any) -> Any:
    """Call the engine, its errors as `QueryError`."""
    try:
        return call(*arguments, **named)
    except RuntimeError as error:
        raise engine_error(str(error)) from None


def _quoted(text: str, mark: str = "'") -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"
