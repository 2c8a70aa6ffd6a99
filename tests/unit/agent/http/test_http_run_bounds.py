"""What one run of an agent over HTTP may take of opoi, and whose tokens go where."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.as_of import AsOfToolBox, as_of_steps
from agent.http.bounds import CALLS_AT_ONCE
from agent.http.remote import RemoteAgents
from agent.http.serving import serving
from agent.http.tools_endpoint import Session, SpecTools, ToolsEndpoint
from agent.media_buyer.definition import media_buyer
from agent.ports import ToolAnswer, ToolBox
from agent.replay import execute
from agent.run import Limits
from agent.settings import ReplaySettings
from schemas.records import AgentDecision, Budget
from tests.unit.agent.conftest import CAMPAIGN
from tests.unit.agent.http.broken_agents import post
from tests.unit.agent.http.hostile_agents import Talk, raw_agent
from tests.unit.agent.http.http_kit import Known, NoModel, at, replay_at, replay_request
from tests.unit.agent.http.test_http_bad_agents import answering, running
from tests.unit.agent.http.test_http_tools import GET_CAMPAIGN, ask

NOW = datetime(2026, 3, 10, 13, tzinfo=UTC)
SMALL = 256 * 1024
LONG = Budget(max_turns=8, max_output_tokens=10_000, max_seconds=60)
USED_UP = f"too_large: the run has exchanged more than {SMALL} bytes, its limit (OPOI_REPLAY__MAX_RUN_BYTES)"


class Slow:
    """Tools that answer when they may."""

    def __init__(self, inner: ToolBox, may: threading.Event) -> None:
        self.inner = inner
        self.may = may
        self.begun = threading.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        self.begun.release()
        self.may.wait(30)
        return self.inner.call(tool, arguments)


def as_of(decision: AgentDecision) -> AsOfToolBox:
    agent = media_buyer()
    return AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))


@pytest.fixture
def endpoint() -> Iterator[ToolsEndpoint]:
    made = ToolsEndpoint()
    yield made
    made.close()


@contextmanager
def session(endpoint: ToolsEndpoint, tools: ToolBox, run_id: str = "r-1", **limits: Any) -> Iterator[Session]:
    with endpoint.session(run_id, SpecTools(tools, media_buyer().spec), NOW, Limits(**limits)) as made:
        yield made


async def running_at_length(request: Request) -> Response:
    told = json.loads((await running(request)).body)
    return Response(json.dumps(told) + " " * 64 * 1024)


def flooding(flood: Callable[[dict[str, Any]], None]) -> Any:
    """An agent that takes the run and then does that to opoi."""

    async def start(request: Request) -> Response:
        asked = await request.json()

        def work() -> None:
            # until opoi is gone
            with suppress(OSError):
                for _ in range(1000):
                    flood(asked)

        threading.Thread(target=work, daemon=True).start()
        return await running(request)

    return answering(start, running)


def asks_for_declarations(asked: dict[str, Any]) -> None:
    ask(asked["tools_url"], asked["tools_token"])


def calls_tools(asked: dict[str, Any]) -> None:
    call = {"call_id": "1", "tool": "rocket", "arguments": {"fuel": "x" * 10_000}}
    post(asked["tools_url"], call, asked["tools_token"])


def calls_back(asked: dict[str, Any]) -> None:
    post(asked["callback_url"], {"run_id": asked["run_id"], "state": "x" * 10_000}, asked["tools_token"])


@pytest.mark.parametrize(
    "bad",
    [
        answering(running, running_at_length),
        flooding(asks_for_declarations),
        flooding(calls_tools),
        flooding(calls_back),
    ],
    ids=["polls", "declarations", "tools", "callbacks"],
)
def test_a_run_that_has_used_up_its_bytes_ends_at_once(decision: AgentDecision, bad: Any) -> None:
    begun = time.monotonic()
    with at(bad) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=LONG), max_run_bytes=SMALL)
    assert (trace.status, trace.reason) == ("failed", USED_UP)
    assert time.monotonic() - begun < LONG.max_seconds / 2


def test_a_run_has_so_many_polls(decision: AgentDecision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.http.runtime.most_polls", lambda _: 3)
    with at(answering(running)) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=LONG))
    assert trace.reason == "too_many_polls: the run has not ended after 3 requests for its status"


def test_the_first_callback_counts(endpoint: ToolsEndpoint, decision: AgentDecision) -> None:
    with session(endpoint, as_of(decision)) as made:
        for reason in ("first", "second"):
            trace = {"run_id": "r-1", "decision_id": "d1", "status": "failed", "reason": reason}
            told = {"run_id": "r-1", "state": "ended", "trace": trace}
            assert ask(endpoint.callback_url(made), made.token, told) == (204, None)
        assert made.status is not None
        assert made.status.trace is not None
        assert made.status.trace.reason == "first"


def test_a_call_that_ends_after_its_run_is_not_answered(
    endpoint: ToolsEndpoint, decision: AgentDecision
) -> None:
    slow = Slow(as_of(decision), threading.Event())
    with ThreadPoolExecutor(1) as pool:
        with session(endpoint, slow) as made:
            late = pool.submit(ask, endpoint.tools_url(made), made.token, GET_CAMPAIGN)
            assert slow.begun.acquire(timeout=10)
        slow.may.set()
        assert late.result(30)[0] == 401
    assert made.exchanges == ()


def test_slow_calls_of_one_run_hold_up_no_other(endpoint: ToolsEndpoint, decision: AgentDecision) -> None:
    slow = Slow(as_of(decision), threading.Event())
    with (
        session(endpoint, slow, "slow") as one,
        session(endpoint, as_of(decision), "good") as other,
        ThreadPoolExecutor(64) as pool,
    ):
        url = endpoint.tools_url(one)
        calls = [{**GET_CAMPAIGN, "call_id": str(number)} for number in range(64)]
        under_way = [pool.submit(ask, url, one.token, call) for call in calls]
        for _ in range(CALLS_AT_ONCE):
            assert slow.begun.acquire(timeout=10)
        begun = time.monotonic()
        assert ask(endpoint.tools_url(other), other.token, GET_CAMPAIGN)[0] == 200
        assert time.monotonic() - begun < 5
        assert not slow.begun.acquire(timeout=0.2), "no more of them at once"
        slow.may.set()
        assert {each.result(60)[0] for each in under_way} == {200}


def test_a_token_is_never_sent_for_another_agent(decision: AgentDecision) -> None:
    """Whose AgentSpec or request names the same address."""
    seen: list[tuple[str, str | None]] = []

    async def refuse(request: Request) -> Response:
        agent = (await request.json())["decision"]["agent"]
        seen.append((agent, request.headers.get("authorization")))
        return JSONResponse({"code": "invalid", "message": "no"}, 400)

    other = decision.model_copy(update={"agent": "other"})
    with at(answering(refuse)) as url:
        endpoints = {decision.agent: {"url": url, "token": "secret"}}
        remote = RemoteAgents(ReplaySettings.model_validate({"endpoints": endpoints}))
        for one in (decision, other, decision):
            request = replay_request(one)
            target = request.target.model_copy(update={"endpoint": url})
            request = request.model_copy(update={"target": target})
            execute(request, one, Known(), NoModel(), remote=remote)
        remote.close()
    assert seen == [(decision.agent, "Bearer secret"), ("other", None), (decision.agent, "Bearer secret")]


def test_a_token_follows_no_redirect(decision: AgentDecision) -> None:
    stolen: list[bytes] = []

    def steals(talk: Talk) -> None:
        stolen.append(talk.head)
        talk.answers(b"{}")

    with raw_agent(steals) as elsewhere:

        def redirects(talk: Talk) -> None:
            talk.answers(b"", b"HTTP/1.1 307 Go\r\nLocation: " + elsewhere.encode() + b"/v1/runs\r\n")

        with raw_agent(redirects) as url:
            trace = replay_at(url, decision, token="secret")
    assert (trace.reason, stolen) == ("contract: the agent answers 307: nothing more", [])


# what anybody who reaches the tools endpoint can do to it


def hears(connection: socket.socket, seconds: float = 10) -> bytes:
    """What comes until the other side ends the connection."""
    connection.settimeout(seconds)
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


def connected(url: str, text: bytes = b"") -> socket.socket:
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    made = socket.create_connection((host, int(port)), timeout=10)
    made.sendall(text)
    return made


@pytest.mark.parametrize("text", [b"", b"POST /v1/sessions/r-1/tools HTTP/1.1\r\nHost:"])
def test_a_request_that_does_not_begin_ends(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("agent.http.serving.HEAD_SECONDS", 0.3)
    with serving(answering(running)) as server, connected(server.url, text) as connection:
        assert hears(connection) == b""


def test_a_request_that_does_not_end_ends(
    endpoint: ToolsEndpoint, decision: AgentDecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.http.exchange.BODY_SECONDS", 0.3)
    monkeypatch.setattr("agent.http.serving.HEAD_SECONDS", 0.3)
    with session(endpoint, as_of(decision)) as made:
        url = endpoint.tools_url(made)
        head = (
            f"POST /{url.split('/', 3)[3]} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made.token}\r\n"
            "Content-Length: 100\r\n\r\n{"
        )
        with connected(url, head.encode()) as connection:
            heard = hears(connection)
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not come within 0.3 s" in heard


def test_what_is_sent_after_the_answer_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.http.serving.HEAD_SECONDS", 0.5)

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await Response(b"no", 401)(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(refuse) as server, connected(server.url, head) as connection:
        end = time.monotonic() + 20
        with suppress(OSError):
            while time.monotonic() < end:
                connection.sendall(b"1\r\nx\r\n")
                time.sleep(0.02)
        assert time.monotonic() < end


def test_connections_without_a_request_take_nobodys_place(
    endpoint: ToolsEndpoint, decision: AgentDecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.http.serving.MOST_ACCEPTED", 8)
    with session(endpoint, as_of(decision)) as made, ExitStack() as held:
        url = endpoint.tools_url(made)
        idle = [held.enter_context(connected(url)) for _ in range(30)]
        for number in range(10):
            call = {**GET_CAMPAIGN, "call_id": str(number), "arguments": {"campaign_id": CAMPAIGN}}
            assert ask(url, made.token, call)[0] == 200
        assert hears(idle[0]) == b"", "the oldest ones have gone"
