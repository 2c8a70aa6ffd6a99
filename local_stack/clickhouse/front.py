"""ClickHouse's HTTP interface over the embedded engine, for one machine.

    python -m local_stack.clickhouse.front --data FOLDER --port 18123 --database opoi

Stock clients and `curl` use it like a server: statements with inline data in any format, parameters,
settings, sessions, compression, errors with their codes. Requests by GET or HEAD, as user `reader` or with
`readonly` only read tables, see `sinks.read_only`. It lacks other users (anyone on this machine may do
anything), external tables, and the native protocol's own compression.
"""

import argparse
import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from local_stack.clickhouse.body import BODY_BYTES, read_body
from local_stack.clickhouse.cancellation import Attendance
from local_stack.clickhouse.config import config_xml, users_xml
from local_stack.clickhouse.engine import Answer, Engine
from local_stack.clickhouse.request import (
    ACCESS_DENIED,
    CODECS,
    Query,
    QueryError,
    chosen_encoding,
    parse,
    refused,
    summary_header,
)
from sinks.read_only import Limits

MEMORY_BYTES = 2_000_000_000
LOCAL_NAMES = frozenset(["127.0.0.1", "localhost", "[::1]"])


def application(engine: Engine, body_bytes: int = BODY_BYTES) -> Starlette:
    """The HTTP interface over `engine`; a body may have `body_bytes`."""
    attendance = Attendance(engine)

    async def query(request: Request) -> Response:
        headers = {"X-ClickHouse-Query-Id": request.query_params.get("query_id") or str(uuid.uuid4())}
        try:
            _refuse_browsers(request.headers)
            form, body = await read_body(request, body_bytes)
            wanted = parse(request.method, request.query_params, request.headers, form, body)
            if not wanted.text.strip():
                return PlainTextResponse("Ok.\n", headers=headers)
            if not wanted.returns_rows and not wanted.read_only:
                answer = await run_sync(engine.run, wanted)
                return await _whole(answer, wanted, request, headers)
            wanted = replace(wanted, tag=uuid.uuid4().hex)
            if wanted.streaming:
                return await _streamed(engine, attendance, wanted, request, headers)
            answer = await attendance.run(request, wanted, partial(engine.run, wanted))
            return await _whole(answer, wanted, request, headers)
        except QueryError as error:
            return _failed(error, headers)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        engine.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/ping", alive, methods=["GET"]),
            Route("/replicas_status", alive, methods=["GET"]),
            Route("/", query, methods=["GET", "POST"]),
        ],
    )


async def _whole(answer: Answer, query: Query, request: Request, headers: dict[str, str]) -> Response:
    headers |= _format_headers(query) | {"X-ClickHouse-Summary": summary_header(answer.statistics)}
    body = answer.body
    enabled = request.query_params.get("enable_http_compression") == "1"
    encoding = chosen_encoding(request.headers.get("accept-encoding", ""), enabled, len(body))
    if encoding is not None:
        body = bytes(await run_sync(CODECS[encoding].compress, body))
        headers["Content-Encoding"] = encoding
    return Response(body, headers=headers, media_type="text/plain; charset=UTF-8")


async def _streamed(
    engine: Engine, attendance: Attendance, query: Query, request: Request, headers: dict[str, str]
) -> Response:
    chunks = engine.stream(query)
    # the first chunk decides the status: a later error can only be reported inside the body
    first = await attendance.run(request, query, lambda: next(chunks, None))
    tag = secrets.token_hex(8)

    async def body() -> AsyncIterator[bytes]:
        chunk = first
        try:
            while chunk is not None:
                yield chunk
                chunk = await attendance.run(request, query, lambda: next(chunks, None))
        except QueryError as error:
            yield exception_block(error, tag)
        finally:
            with CancelScope(shield=True):
                await run_sync(chunks.close)

    headers |= _format_headers(query) | {"X-ClickHouse-Exception-Tag": tag}
    return StreamingResponse(body(), headers=headers, media_type="text/plain; charset=UTF-8")


def exception_block(error: QueryError, tag: str) -> bytes:
    """How an error is reported after the first rows were sent: at the body's end, between tags."""
    text = error.text.encode() + b"\n"
    mark = b"__exception__\r\n"
    return b"\r\n" + mark + tag.encode() + b"\r\n" + text + f"{len(text)} {tag}\r\n".encode() + mark


def _failed(error: QueryError, headers: dict[str, str]) -> Response:
    headers |= {"X-ClickHouse-Exception-Code": str(error.code)}
    return PlainTextResponse(error.text + "\n", status_code=error.status, headers=headers)


def _format_headers(query: Query) -> dict[str, str]:
    headers = {"X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Server-Display-Name": "opoi"}
    return headers | {"X-ClickHouse-Format": query.output_format} if query.returns_rows else headers


def _refuse_browsers(headers: Mapping[str, str]) -> None:
    """Refuses pages in a browser on this machine: no password protects the data here."""
    host = headers.get("host", "").rpartition(":")
    name = host[0] if host[1] and host[2].isdigit() else headers.get("host", "")
    if name not in LOCAL_NAMES:
        raise refused(ACCESS_DENIED, "ACCESS_DENIED", f"Host {name!r} is not this machine")
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise refused(ACCESS_DENIED, "ACCESS_DENIED", "pages in a browser may not ask")


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    parser = argparse.ArgumentParser(description="ClickHouse over HTTP on 127.0.0.1, embedded.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--database", default="opoi", help="database that is made at the start")
    parser.add_argument("--memory", type=int, default=MEMORY_BYTES, help="bytes that the engine may use")
    parser.add_argument("--body-bytes", type=int, default=BODY_BYTES, help="bytes that a request may have")
    parser.add_argument(
        "--query-seconds", type=int, default=Limits().seconds, help="how long a read-only query may take"
    )
    options = parser.parse_args()

    # the engine takes its time zone from the process
    os.environ["TZ"] = "UTC"
    time.tzset()
    folder: Path = options.data.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    # the engine's package takes a config.xml of the working folder for its own when it is imported
    os.chdir(folder / "..")
    # half, so that the sink can write while a query takes too much
    limits = Limits(seconds=options.query_seconds, memory_bytes=options.memory // 2)
    engine = open_engine(folder, options.memory, options.database, limits)
    uvicorn.run(
        application(engine, options.body_bytes),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )


def open_engine(folder: Path, memory: int, database: str, limits: Limits) -> Engine:
    """The engine on `folder` with its database, which is Atomic: the default one is not."""
    users, config = folder / "users.xml", folder / "config.xml"
    users.write_text(users_xml())
    config.write_text(config_xml(folder / "backups", memory, users))
    try:
        engine = Engine(folder / "data", config, limits)
    except QueryError as error:
        raise SystemExit(
            f"{folder / 'data'} cannot be opened, another process may hold it: {error}"
        ) from None
    engine.run(Query(text=f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic".encode()))
    return engine


if __name__ == "__main__":
    main()
