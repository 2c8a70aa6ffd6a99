"""The body of a request, bounded before and after its decompression."""

from collections.abc import Mapping

from anyio.to_thread import run_sync
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from local_stack.clickhouse.request import NOT_IMPLEMENTED, decompress, refused, too_large

BODY_BYTES = 256 * 1024 * 1024
"""The sink sends 37 MiB of records at most; one record of 4 MiB is never more than 80 MiB as rows."""


async def read_body(request: Request, limit: int) -> tuple[Mapping[str, str], bytes]:
    """The fields of a form, or else the decompressed body. Raises `QueryError` over `limit` bytes."""
    bounded = Request(request.scope, _Bounded(request.receive, limit))
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = await bounded.body()
        encoding = request.headers.get("content-encoding", "")
        return {}, await run_sync(decompress, encoding, body, limit) if encoding else body
    fields: dict[str, str] = {}
    async with bounded.form(max_part_size=limit) as parts:
        for name, value in parts.multi_items():
            if isinstance(value, UploadFile):
                raise refused(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"external table {name!r} needs a server")
            fields[name] = value
    return fields, b""


class _Bounded:
    """Messages of a request, until its body is over the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._next()
        if self._bytes > self._limit:
            # a client that still sends reads no answer: the rest is taken and forgotten
            while message.get("more_body"):
                message = await self._next()
            raise too_large(f"the body has {self._bytes} bytes", self._limit)
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return message
