"""An agent that means harm ends its own run, in its time, for the true reason; nothing of it stays behind."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from agent.http.client import AgentAway, AgentClient, AgentRefused
from agent.ports import Target
from schemas.records import AgentDecision, Budget
from tests.unit.agent.http.hostile_agents import AWAY, BEAT, DRIPPING, RUBBISH, Handler, Talk, raw_agent
from tests.unit.agent.http.http_kit import replay_at, replay_request

SECONDS = 1.0
CANCEL_SECONDS = 0.3
SLACK = 3.0
"""Seconds for a busy machine."""
SHORT = Budget(max_turns=8, max_output_tokens=10_000, max_seconds=SECONDS)


@pytest.fixture(autouse=True)
def _no_thread_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("agent.http.client.CANCEL_SECONDS", CANCEL_SECONDS)
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + SLACK
    while left := {one for one in set(threading.enumerate()) - before if one.name == "look-up"}:
        assert time.monotonic() < end, f"{left} stay behind"
        time.sleep(BEAT)


@pytest.mark.parametrize(("handler", "reason"), DRIPPING)
def test_an_answer_has_one_deadline_headers_included(
    decision: AgentDecision, handler: Handler, reason: str
) -> None:
    with raw_agent(handler) as url:
        begun = time.monotonic()
        with pytest.raises(AgentAway, match=f"{reason} 1 s") as caught:
            replay_at(url, decision, replay_request(decision, budget=SHORT))
        took = time.monotonic() - begun
    # it drips its answer to the cancelling, too
    assert SECONDS <= took < SECONDS + CANCEL_SECONDS + SLACK
    assert caught.value.target == Target("agent:media-buyer", url)


@pytest.mark.parametrize(("handler", "reason"), RUBBISH)
def test_rubbish_ends_its_own_run_for_the_true_reason(
    decision: AgentDecision, handler: Handler, reason: str
) -> None:
    budget = SHORT.model_copy(update={"max_seconds": 30})
    with raw_agent(handler) as url:
        begun = time.monotonic()
        trace = replay_at(url, decision, replay_request(decision, budget=budget))
    assert (trace.status, (trace.reason or "")[: len(reason)]) == ("failed", reason)
    assert len(trace.reason or "") <= 1000
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("handler", AWAY)
def test_what_speaks_no_http_is_away(decision: AgentDecision, handler: Handler) -> None:
    with raw_agent(handler) as url:
        begun = time.monotonic()
        with pytest.raises(AgentAway, match=r"cannot be reached: |gave no HTTP answer: "):
            replay_at(url, decision, replay_request(decision, budget=SHORT))
    assert time.monotonic() - begun < SECONDS + CANCEL_SECONDS + SLACK


def send(url: str, reason: str, body: bytes | None = None) -> float:
    """How long a request took that must not be answered in time."""
    begun = time.monotonic()
    with closing(AgentClient(url)) as client, pytest.raises(AgentAway, match=f"{reason} within 1 s"):
        client.send("POST", "/", SECONDS, body)
    return time.monotonic() - begun


def test_a_name_that_is_not_looked_up_holds_one_thread_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "at last")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    begun = time.monotonic()
    with closing(AgentClient("http://agent.example")) as client:
        for _ in range(3):
            with pytest.raises(AgentAway, match=r"'agent.example', that was not looked up within 0.3 s"):
                client.send("GET", "/", 0.3)
    assert time.monotonic() - begun < 3 * 0.3 + SLACK
    assert [one.name for one in threading.enumerate()].count("look-up") == 1
    over.set()


def test_a_name_that_nobody_knows_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reason = "cannot be reached: the name 'agent.example': Name or service not known"
    with closing(AgentClient("http://agent.example")) as client, pytest.raises(AgentAway, match=reason):
        client.send("GET", "/", SECONDS)


@contextmanager
def accepts_nobody(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, int]]:
    """The address of a listener that has no room for a further connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield full.getsockname()


def speaks(talk: Talk) -> None:
    talk.answers(b"{}")


def test_an_address_that_is_dead_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def two(host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        found = ("127.0.0.2", "127.0.0.1") if host == "agent.example" else (host,)
        return [one for each in found for one in look_up(each, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with raw_agent(speaks) as url:
        port = int(url.rpartition(":")[2])
        with (
            accepts_nobody("127.0.0.2", port),
            closing(AgentClient(f"http://agent.example:{port}")) as client,
        ):
            assert client.send("GET", "/", 2).status == 200


def test_a_service_that_accepts_nobody_is_given_up() -> None:
    with accepts_nobody() as (host, port):
        took = send(f"http://{host}:{port}", "did not accept a connection")
    assert SECONDS <= took < SECONDS + SLACK


@pytest.mark.parametrize("greeting", [b"", b"\x16\x03\x03\x40\x00\x02" + b"\x00" * 1000])
def test_a_tls_handshake_that_takes_for_ever_is_given_up(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    for each in greeting:
                        connection.sendall(bytes([each]))
                        time.sleep(BEAT)
                    time.sleep(5)
                except OSError:
                    return

        threading.Thread(target=shake, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert SECONDS <= send(url, "did not complete the TLS handshake") < SECONDS + SLACK


@pytest.mark.parametrize("drips", [False, True])
def test_an_agent_that_does_not_read_is_given_up(drips: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        over = threading.Event()

        def read() -> None:
            connection, _ = listener.accept()
            with connection:
                while not over.wait(BEAT):
                    if drips and not connection.recv(2048):
                        return

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        took = send(url, "did not take the request", b" " * 32 * 1024 * 1024)
        over.set()
        reader.join(5)
        assert SECONDS <= took < SECONDS + SLACK


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:99999", "http://h:-1", "http://h:0", f"http://{'a' * 300}", "http://a..b", "http://[::1",
     "ftp://h", "http://", "http:///x", "http://\ud800", "h"],
)  # fmt: skip
def test_an_address_that_is_none_is_the_runs_fault_and_not_the_workers(url: str) -> None:
    with pytest.raises(AgentRefused, match="is no address of an agent") as caught:
        AgentClient(url).send("GET", "/", SECONDS)
    assert caught.value.code == "endpoint"


def test_a_password_in_an_address_is_sent_and_never_shown() -> None:
    seen: list[bytes] = []

    def refuse(talk: Talk) -> None:
        seen.append(talk.head)
        talk.answers(b"{}", b"HTTP/1.1 503 No\r\n")

    with (
        raw_agent(refuse) as url,
        closing(AgentClient(url.replace("//", "//me:secret@"))) as client,
        pytest.raises(AgentAway) as caught,
    ):
        client.status("r1", SECONDS)
    assert b"Authorization: Basic bWU6c2VjcmV0" in seen[0]
    assert "secret" not in str(caught.value) + caught.value.target.url


def test_the_proxy_of_the_environment_is_used_unless_it_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    def passes_on(talk: Talk) -> None:
        seen.append(talk.head)
        talk.answers(b"{}")

    with raw_agent(passes_on) as proxy, raw_agent(speaks) as direct:
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//me:secret@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for url in ("http://agent.example", direct):
            with closing(AgentClient(url)) as client:
                assert client.send("GET", "/v1/runs", SECONDS).status == 200
    [head] = seen
    assert head.startswith(b"GET http://agent.example/v1/runs HTTP/1.1\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in head
