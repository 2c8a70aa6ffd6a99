"""Where an agent over HTTP calls its tools while a run lasts.

Each run has a session with a token of its own. The calls and answers of the session are what opoi goes by,
whatever the agent reports afterwards.
"""

import hmac
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.http.bounds import (
    CALLS_AT_ONCE,
    CALLS_PER_TURN,
    MOST_CALL_BYTES,
    REQUEST_BYTES,
    ByteBudget,
    TooLarge,
)
from agent.http.contract import RunStatus, ToolList, ToolRequest
from agent.http.exchange import Refused, answer, bearer, read, refusal
from agent.http.serving import Server
from agent.ports import ToolAnswer, ToolBox
from agent.run import Limits
from agent.spec import AgentSpec
from agent.tool_calls import WriteUnknown, answer_call
from schemas.identity import canonical_json
from schemas.records import Effect, IntendedWrite, Part


@dataclass(frozen=True, slots=True)
class Exchange:
    """One tool call as opoi saw it, and what it answered."""

    call: Part
    response: Part


@dataclass(frozen=True, slots=True)
class SpecTools:
    """A run's tools: all that the AgentSpec knows, those that only a sub-agent has included."""

    inner: ToolBox
    spec: AgentSpec

    @property
    def declarations(self) -> Sequence[Mapping[str, Any]]:
        """The main agent's declarations."""
        return self.inner.declarations

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """Writes that were simulated, in order."""
        return self.inner.intended_writes

    def effect(self, tool: str) -> Effect | None:
        """As the spec says; None where it does not know the tool."""
        return self.spec.effect(tool)

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return self.inner.request_hash(tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """What the inner tools answer. Raises ToolError, ToolMiss."""
        return self.inner.call(tool, arguments)


@dataclass
class Session:
    """The tools of one run in progress. Thread-safe."""

    run_id: str
    tools: ToolBox
    now: datetime
    limits: Limits
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the wait is over: the agent called back, or has used up its bytes."""
    status: RunStatus | None = None
    """The status in the agent's callback."""
    closed: bool = False
    """Whether opoi has ended the run: then calls are refused."""
    traffic: ByteBudget = field(init=False)
    """The bytes that the run may exchange, with its agent and here."""
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CALLS_AT_ONCE))
    """The threads of calls in progress: the run's own, so that a slow one delays no other run."""
    _by_id: dict[str, Exchange] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.traffic = ByteBudget(self.limits.max_run_bytes)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every call so far, in the order of the answers."""
        with self._changed:
            return tuple(self._by_id.values())

    def call(self, asked: ToolRequest) -> Part:
        """The answer; a repeated call gets the same one. Raises Refused."""
        try:
            arguments = canonical_json(asked.arguments)
        except ValueError as error:
            raise Refused(400, "invalid", f"arguments: {error}") from error
        call = Part(kind="function_call", call_id=asked.call_id, tool=asked.tool, arguments_json=arguments)
        with self._changed:
            self._changed.wait_for(lambda: asked.call_id not in self._under_way)
            if self.closed:
                raise _unauthorized()
            known = self._by_id.get(asked.call_id)
            if known is not None:
                return self._again(known, call)
            most = CALLS_PER_TURN * self.limits.max_turns
            if len(self._by_id) + len(self._under_way) >= most:
                raise Refused(429, "too_many_calls", f"the run has made {most} calls, its limit")
            self._under_way.add(asked.call_id)
        try:
            response = self._answer(call)
            with self._changed:
                if self.closed:
                    raise _unauthorized()
                self._by_id[asked.call_id] = Exchange(call, response)
        finally:
            with self._changed:
                self._under_way.discard(asked.call_id)
                self._changed.notify_all()
        return response

    def close(self) -> None:
        """Ends the run."""
        with self._changed:
            self.closed = True

    def end(self, status: RunStatus | None = None) -> None:
        """Ends the wait for the run; the first call counts."""
        with self._changed:
            if not self.ended.is_set():
                self.status = status
                self.ended.set()

    def _again(self, known: Exchange, call: Part) -> Part:
        if known.call != call:
            raise Refused(409, "call_conflict", f"call {call.call_id!r} was made with another request")
        return known.response

    def _answer(self, call: Part) -> Part:
        try:
            return answer_call(
                self.tools, call, seconds=self.limits.tool_seconds, bytes_=self.limits.max_response_bytes
            )
        except WriteUnknown as error:
            return Part(
                kind="function_response",
                call_id=call.call_id,
                tool=call.tool,
                effect="write",
                answered_by="error",
                error=str(error),
            )


class ToolsEndpoint:
    """The sessions of this process behind one address. Thread-safe.

    `url` is its address for agents, where that is not its own. The server starts with the first
    session. Raises CannotListen there.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, url: str | None = None) -> None:
        self._address = host, port
        self._url = url
        self._server: Server | None = None
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def session(self, run_id: str, tools: ToolBox, now: datetime, limits: Limits) -> Iterator[Session]:
        """A run's tools, until the block ends; then its token is invalid."""
        self.listen()
        made = Session(run_id, tools, now, limits)
        with self._lock:
            self._sessions[run_id] = made
        try:
            yield made
        finally:
            made.close()
            with self._lock:
                del self._sessions[run_id]

    def listen(self) -> None:
        """Starts the server if it is not running. Raises CannotListen."""
        with self._lock:
            if self._server is None:
                self._server = Server(self.app(), *self._address, name="tools-endpoint")

    def tools_url(self, session: Session) -> str:
        """Where the session's tools are called."""
        assert self._server is not None
        return f"{self._url or self._server.url}/v1/sessions/{session.run_id}/tools"

    def callback_url(self, session: Session) -> str:
        """Where the session's agent may report its end."""
        return self.tools_url(session).removesuffix("tools") + "ended"

    def close(self) -> None:
        """Stops the server if it is running."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/sessions/{run_id}/tools", self._declarations, methods=["GET"]),
                Route("/v1/sessions/{run_id}/tools", self._call, methods=["POST"]),
                Route("/v1/sessions/{run_id}/ended", self._ended, methods=["POST"]),
            ],
            exception_handlers={Refused: refusal},
        )

    def _session(self, request: Request) -> Session:
        """The request's session. Raises Refused, with the same text for every reason."""
        with self._lock:
            found = self._sessions.get(request.path_params["run_id"])
        expected = found.token if found else secrets.token_urlsafe(32)
        if not hmac.compare_digest(bearer(request).encode(), expected.encode()) or found is None:
            raise _unauthorized()
        return found

    async def _declarations(self, request: Request) -> Response:
        session = self._session(request)
        declarations = tuple(dict(one) for one in session.tools.declarations)
        with _within_bytes(session):
            return _answered(session, ToolList(now=session.now, declarations=declarations))

    async def _call(self, request: Request) -> Response:
        session = self._session(request)
        with _within_bytes(session):
            asked = await read(
                request, ToolRequest, most=MOST_CALL_BYTES, run=session.traffic, threads=session.threads
            )
            return _answered(session, await to_thread.run_sync(session.call, asked, limiter=session.threads))

    async def _ended(self, request: Request) -> Response:
        session = self._session(request)
        if not session.ended.is_set():
            with _within_bytes(session):
                status = await read(request, RunStatus, run=session.traffic, threads=session.threads)
            if status.run_id != session.run_id or status.state != "ended":
                raise Refused(400, "invalid", f"this is not the end of run {session.run_id!r}")
            session.end(status)
        return Response(status_code=204)


def _unauthorized() -> Refused:
    return Refused(401, "unauthorized", "there is no such run, it has ended, or this is not its token")


def _answered(session: Session, body: BaseModel) -> Response:
    found = answer(200, body)
    session.traffic.take(REQUEST_BYTES + len(found.body))
    return found


@contextmanager
def _within_bytes(session: Session) -> Iterator[None]:
    """A run that has used up its bytes ends. Raises Refused."""
    try:
        yield
    except TooLarge as error:
        session.end()
        raise Refused(413, "too_large", str(error)) from error
