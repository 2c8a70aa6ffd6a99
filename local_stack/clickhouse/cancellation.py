"""Queries that end with their client."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, Event, create_task_group, move_on_after
from anyio.to_thread import run_sync
from starlette.requests import Request

from local_stack.clickhouse.engine import Engine
from local_stack.clickhouse.request import Query, QueryError, refused

CANCELLED = 394
READERS = 16
"""Queries that run at once; the rest wait. Writes have threads of their own."""
AGAIN_SECONDS = 0.2
"""The engine knows a query only a moment after its start, so the request to end one is repeated."""

Answer = TypeVar("Answer")


class Attendance:
    """Runs queries in threads and ends those whose client disconnected."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = CapacityLimiter(READERS)
        # the threads that end queries must not wait for a free query thread
        self._enders = CapacityLimiter(2)

    async def run(self, request: Request, query: Query, call: Callable[[], Answer]) -> Answer:
        """The result of `call`, which runs `query` under its tag. Raises `QueryError`."""
        ended = Event()
        # where it never began
        outcome: Answer | QueryError = refused(CANCELLED, "QUERY_WAS_CANCELLED", "The client is gone")

        async def end_with_client() -> None:
            try:
                while (await request.receive())["type"] != "http.disconnect":
                    continue
                # one that waits for its turn need not begin
                group.cancel_scope.cancel()
            finally:
                # the client is gone, or nobody reads the answer any more
                with CancelScope(shield=True):
                    while not ended.is_set():
                        await run_sync(self._engine.cancel, query.tag, limiter=self._enders)
                        with move_on_after(AGAIN_SECONDS):
                            await ended.wait()

        async with create_task_group() as group:
            group.start_soon(end_with_client)
            try:
                outcome = await run_sync(call, limiter=self._readers)
            except QueryError as error:
                # kept out of the group, which would wrap it
                outcome = error
            finally:
                ended.set()
                group.cancel_scope.cancel()
        if isinstance(outcome, QueryError):
            raise outcome
        return outcome
