"""What an agent over HTTP does wrong ends in a trace with a status and a reason, within its budget."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.http.client import AgentAway
from agent.http.contract import RunRequest, RunTrace
from agent.http.exchange import MOST_BYTES
from agent.ports import QuotaExceeded
from agent.settings import ModelPrice
from schemas.records import AgentDecision, AgentTrace, Budget, Part, SubAgentRun, Turn, Usage
from streams.core.budgets import spent_by
from tests.unit.agent.conftest import CAMPAIGN, CAMPAIGN_NODE
from tests.unit.agent.http.broken_agents import (
    AlteredAnswer,
    AnotherDecision,
    Broken,
    HiddenCall,
    IgnoresTurns,
    NeverEnds,
    OracleFirst,
    OtherQuestion,
    OtherWrite,
    OwnAnswers,
    raised,
)
from tests.unit.agent.http.http_kit import at, replay_at, replay_request

SHORT = Budget(max_turns=8, max_output_tokens=10_000, max_seconds=1)
ORACLE = "[note 0123456789abcdef]\nExpected action: hold.\n[end of note 0123456789abcdef]"


@pytest.mark.parametrize(
    ("variant", "status", "reason"),
    [
        (AnotherDecision, "failed", "another_run: asked for decision 'd1'"),
        (OtherQuestion, "failed", "question_differs: "),
        (OwnAnswers, "failed", "tool_call_bypassed: an answer of 'get_insights'"),
        (HiddenCall, "failed", "tool_call_hidden: 1 calls of get_campaign were made"),
        (AlteredAnswer, "failed", "tool_answer_differs: an answer of 'get_insights'"),
        (OtherWrite, "invalid", "writes_differ: 'scale_up' is carried out by set_daily_budget"),
    ],
)
def test_an_agent_that_lies_is_not_believed(
    decision: AgentDecision, variant: type[Broken], status: str, reason: str
) -> None:
    with at(variant()) as url:
        trace = replay_at(url, decision)
    assert trace.status == status
    assert (trace.reason or "").startswith(reason), trace.reason
    assert (trace.action, trace.turns) == (None, ())


def test_what_opoi_saw_is_on_the_trace_of_a_liar(decision: AgentDecision) -> None:
    with at(OtherWrite()) as url:
        trace = replay_at(url, decision)
    assert [(one.tool, json.loads(one.arguments_json)) for one in trace.intended_writes] == [
        (
            "set_daily_budget",
            {"campaign_id": CAMPAIGN, "daily_budget": raised(int(CAMPAIGN_NODE["daily_budget"]))},
        )
    ]
    assert trace.usage.tool_calls == 3


def test_a_misplaced_oracle_is_not_believed(decision: AgentDecision) -> None:
    with at(OracleFirst()) as url:
        trace = replay_at(url, decision, replay_request(decision, "opoi", oracle=ORACLE))
    assert trace.reason == "oracle_misplaced: the oracle is marked at part 0, asked for was part 1"


def test_an_agent_that_takes_more_turns_than_it_has_is_exhausted(decision: AgentDecision) -> None:
    budget = Budget(max_turns=1, max_output_tokens=10_000, max_seconds=20)
    with at(IgnoresTurns()) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=budget))
    assert (trace.status, trace.reason) == ("exhausted", "max_turns: the model took 3 turns of 1")


class BabblingAnalyst(Broken):
    """A sub-agent answers, and not in JSON."""

    def changed(self, trace: RunTrace, asked: RunRequest) -> RunTrace:
        told: dict[str, Any] = {"tool": "ask_performance_analyst", "call_id": "s"}
        call = Part(kind="function_call", arguments_json="{}", **told)
        answer = Part(kind="function_response", response_json="Well, ...", **told)
        question, *rest = trace.turns
        talk = (Turn(role="model", parts=(call,)), Turn(role="user", parts=(answer,)))
        said = Turn(role="model", parts=(Part(kind="text", text="Well, ..."),))
        run = SubAgentRun(run_id="s1", name="performance_analyst", turns=(said,))
        return trace.model_copy(update={"turns": (question, *talk, *rest), "sub_agent_runs": (run,)})


def test_a_sub_agents_answer_is_json(decision: AgentDecision) -> None:
    with at(BabblingAnalyst()) as url:
        trace = replay_at(url, decision)
    assert trace.reason == "contract: the answer of the sub-agent 'ask_performance_analyst' is no JSON"


class PaidInYen(Broken):
    """Says what its run cost, in its own currency, and so of a sub-agent."""

    def changed(self, trace: RunTrace, asked: RunRequest) -> RunTrace:
        cost = {"cost_micros": 100_000_000, "cost_currency": "JPY"}
        usage = trace.usage.model_copy(update=cost)
        run = SubAgentRun(run_id="s1", name="analyst", usage=usage)
        return trace.model_copy(update={"usage": usage, "sub_agent_runs": (run,)})


class UsesWithoutEnd(Broken):
    """Says that it used what no run can use, which its case and its day would be unable to add up."""

    def changed(self, trace: RunTrace, asked: RunRequest) -> RunTrace:
        return trace.model_copy(update=self.told)

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self.told = told


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            {"usage": Usage(input_tokens=2**63 - 1)},
            "usage.input_tokens is 9223372036854775807, above 1000000000",
        ),
        ({"usage": Usage(model_calls=2**31 - 1)}, "usage.model_calls is 2147483647, above 1000000000"),
        ({"usage": Usage(thought_tokens=-(2**63))}, "usage.thought_tokens is below 0"),
        ({"attempts": 2**31 - 1}, "attempts is 2147483647, above 100000"),
    ],
)
def test_what_no_run_can_use_is_not_counted(
    decision: AgentDecision, told: dict[str, Any], reason: str
) -> None:
    with at(UsesWithoutEnd(told)) as url:
        trace = replay_at(url, decision)
    assert (trace.status, trace.reason) == ("failed", f"contract: {reason}")
    assert (spent_by(trace).tokens, trace.attempts, trace.usage.model_calls) == (0, 0, 0)


DOLLAR_A_TOKEN = ModelPrice(input=0, output=10**12)


@pytest.mark.parametrize(
    ("price", "cost"),
    [(None, (None, None, 1)), (DOLLAR_A_TOKEN, (30_000_000, "USD", 0))],
)
def test_an_agents_own_cost_is_not_opois(
    decision: AgentDecision, price: ModelPrice | None, cost: tuple[int | None, str | None, int]
) -> None:
    with at(PaidInYen()) as url:
        trace = replay_at(url, decision, price=price)
    assert (trace.status, trace.reason) == ("completed", None)
    for usage in (trace.usage, trace.sub_agent_runs[0].usage):
        assert (usage.cost_micros, usage.cost_currency) == cost[:2]
    spent = spent_by(trace)
    assert (spent.cost_micros, spent.unpriced_runs) == (cost[0], cost[2])


@pytest.mark.parametrize(("most", "status"), [(29_999_999, "exhausted"), (30_000_000, "completed")])
def test_a_runs_money_is_bounded_over_http(decision: AgentDecision, most: int, status: str) -> None:
    budget = Budget(max_turns=8, max_output_tokens=10_000, max_seconds=20, max_cost_micros=most)
    with at(Broken()) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=budget), price=DOLLAR_A_TOKEN)
    assert trace.status == status
    wanted = None if status == "completed" else f"max_cost_micros: 30000000 of {most} are used"
    assert trace.reason == wanted
    assert trace.usage.cost_micros == 30_000_000


def test_an_agent_that_hangs_is_cancelled_at_its_budget(decision: AgentDecision) -> None:
    agent = NeverEnds()
    begun = time.monotonic()
    with at(agent) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=SHORT))
    assert (trace.status, trace.reason) == ("exhausted", "max_seconds: the agent did not end within 1 s")
    assert time.monotonic() - begun < 20  # its agent would go on for ever
    [kept] = agent._runs.values()
    assert kept.cancelled.is_set()


Handler = Callable[[Request], Awaitable[Response]]


def answering(start: Handler, status: Handler | None = None) -> Starlette:
    """An agent whose every answer is one of these."""
    return Starlette(
        routes=[
            Route("/v1/runs", start, methods=["POST"]),
            Route("/v1/runs/{run_id}", status or start, methods=["GET"]),
            Route("/v1/runs/{run_id}", status or start, methods=["DELETE"]),
        ]
    )


async def running(request: Request) -> Response:
    run_id = request.path_params.get("run_id") or (await request.json())["run_id"]
    return JSONResponse({"run_id": run_id, "state": "running"}, 202 if request.method == "POST" else 200)


def ended_with(trace: dict[str, Any]) -> Handler:
    async def status(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        body = {"run_id": run_id, "decision_id": "d1", "status": "completed"} | trace
        return JSONResponse({"run_id": run_id, "state": "ended", "trace": body})

    return status


async def junk(_: Request) -> Response:
    return Response(b"<html>It works!</html>", 200)


async def huge(_: Request) -> Response:
    return Response(b" " * (MOST_BYTES + 1), 200)


async def lost(_: Request) -> Response:
    return JSONResponse({"code": "unknown_run", "message": "no such run"}, 404)


async def foreign(_: Request) -> Response:
    return JSONResponse({"run_id": "somebody-elses", "state": "running"}, 202)


async def elsewhere(_: Request) -> Response:
    return RedirectResponse("http://127.0.0.1:9/steal", 307)


async def refusing(_: Request) -> Response:
    return JSONResponse({"code": "invalid", "message": "I want\nmore fields"}, 422)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (answering(junk), "contract: the run's status breaks the contract: body: Invalid JSON"),
        (answering(running, junk), "contract: the run's status breaks the contract"),
        (answering(huge), f"too_large: the agent's answer has more than {MOST_BYTES} bytes"),
        (answering(running, lost), "run_lost: the agent no longer knows run"),
        (answering(foreign), "another_run: asked for run"),
        (answering(elsewhere), "contract: the agent answers 307"),
        (answering(refusing), "invalid: the agent answers 422: invalid: I want more fields"),
        (answering(running, ended_with({})), "no_turns: the trace has no turns"),
        (answering(running, ended_with({"turns": "none"})), "contract: the run's status breaks the contract"),
        (
            answering(running, ended_with({"status": "completed", "extra": 1})),
            "contract: the run's status breaks the contract: trace.extra",
        ),
    ],
)
def test_answers_that_break_the_contract_are_a_failed_trace(
    decision: AgentDecision, app: Starlette, reason: str
) -> None:
    with at(app) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=SHORT))
    assert trace.status == "failed"
    assert (trace.reason or "").startswith(reason), trace.reason
    assert "\n" not in (trace.reason or "")


def test_a_trace_that_the_check_itself_stumbles_over_ends_its_run(
    decision: AgentDecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("agent.http.runtime.verify", stumbles)
    with at(Broken()) as url:
        trace = replay_at(url, decision)
    assert (trace.status, trace.reason) == ("failed", "contract: the trace cannot be checked (KeyError)")


def test_an_agent_that_drips_its_answer_ends_with_its_budget(decision: AgentDecision) -> None:
    async def drip(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.1)

    begun = time.monotonic()
    with at(drip) as url, pytest.raises(AgentAway, match="did not end its answer within 1 s"):
        replay_at(url, decision, replay_request(decision, budget=SHORT))
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("status", [500, 503, 401, 403])
def test_an_agent_that_is_away_leaves_no_trace(decision: AgentDecision, status: int) -> None:
    async def away(_: Request) -> Response:
        return JSONResponse({"code": "busy", "message": "restarting"}, status)

    with at(answering(away)) as url, pytest.raises(AgentAway, match=f"answers {status}: busy: restarting"):
        replay_at(url, decision)


def test_an_agent_without_room_says_for_how_long(decision: AgentDecision) -> None:
    async def busy(_: Request) -> Response:
        return JSONResponse({"code": "busy", "message": "full"}, 429, headers={"Retry-After": "7"})

    with at(answering(busy)) as url, pytest.raises(QuotaExceeded) as caught:
        replay_at(url, decision)
    assert caught.value.retry_after == 7


async def too_often(_: Request) -> Response:
    return JSONResponse({"code": "busy", "message": "slow down"}, 429, headers={"Retry-After": "0"})


def test_an_agent_that_is_asked_too_often_is_waited_for_within_its_budget(decision: AgentDecision) -> None:
    with at(answering(running, too_often)) as url:
        trace = replay_at(url, decision, replay_request(decision, budget=SHORT))
    assert (trace.status, trace.reason) == ("exhausted", "max_seconds: the agent did not end within 1 s")


def test_a_run_that_is_asked_about_too_often_is_not_started_again(decision: AgentDecision) -> None:
    seen: list[str] = []
    agent = Broken()
    app = agent.app()

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(scope["method"])
        if seen.count("GET") in (1, 2) and seen[-1] == "GET":
            await (await too_often(Request(scope)))(scope, receive, send)
        else:
            await app(scope, receive, send)

    # without a callback, so that the status must be asked for
    agent._call_back = lambda *_: None  # type: ignore[method-assign]
    with at(limited) as url:
        trace = replay_at(url, decision)
    agent.close()
    assert trace.status == "completed"
    assert (seen.count("POST"), seen.count("DELETE")) == (1, 0)
    assert seen.count("GET") >= 3


def test_an_agent_that_stays_away_from_a_run_under_way_is_told_to_stop_it(
    decision: AgentDecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def status(request: Request) -> Response:
        asked.append(request.method)
        return await too_often(request)

    monkeypatch.setattr("agent.http.runtime.AWAY_SECONDS", 0.0)
    with (
        at(answering(running, status)) as url,
        pytest.raises(AgentAway, match="answers 429: busy: slow down"),
    ):
        replay_at(url, decision)
    assert asked == ["GET", "DELETE"]


def test_a_callback_ends_a_run_that_is_never_polled_to_its_end(decision: AgentDecision) -> None:
    """The status says `running` for ever; the agent calls back."""
    agent = Broken()
    app = agent.app()

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            await running(Request({**scope, "path_params": {"run_id": scope["path"].split("/")[-1]}}))
            run_id = scope["path"].split("/")[-1]
            await JSONResponse({"run_id": run_id, "state": "running"})(scope, receive, send)
        else:
            await app(scope, receive, send)

    with at(wrapped) as url:
        trace: AgentTrace = replay_at(url, decision)
    agent.close()
    assert trace.status == "completed"


def test_the_agents_token_goes_to_its_address(decision: AgentDecision) -> None:
    seen: list[str] = []

    async def start(request: Request) -> Response:
        seen.append(request.headers.get("authorization", ""))
        return JSONResponse({"code": "invalid", "message": "no"}, 400)

    with at(answering(start)) as url:
        replay_at(url, decision, token="secret")
        replay_at(url, decision)
    assert seen == ["Bearer secret", ""]


def test_each_try_is_a_run_of_its_own_that_draws_alike(decision: AgentDecision) -> None:
    seen: list[dict[str, Any]] = []

    async def start(request: Request) -> Response:
        seen.append(await request.json())
        return JSONResponse({"code": "busy", "message": "no"}, 503)

    with at(answering(start)) as url:
        for _ in range(2):
            with pytest.raises(AgentAway):
                replay_at(url, decision)
    one, other = seen
    assert one["seed"] == other["seed"]
    assert one["decision"] == other["decision"]
    assert {one["run_id"], one["tools_token"]}.isdisjoint({other["run_id"], other["tools_token"]})


def test_the_agent_is_told_of_the_decision_and_of_nothing_else(decision: AgentDecision) -> None:
    seen: list[dict[str, Any]] = []

    async def start(request: Request) -> Response:
        seen.append(await request.json())
        return JSONResponse({"code": "invalid", "message": "no"}, 400)

    request = replay_request(decision, "opoi", oracle=ORACLE, verdict_id="the-verdict")
    with at(answering(start)) as url:
        replay_at(url, decision, request)
    [body] = seen
    assert body["oracle"] == {"text": ORACLE, "turn": 0, "part": 1}
    assert body["decision"]["question"]["parts"][0]["text"] == decision.turns[0].parts[0].text
    assert len(body["decision"]["question"]["parts"]) == 1
    without_oracle = json.dumps({**body, "oracle": None})
    for unknown in ("the-verdict", decision.rationale, "opoi", ORACLE[:20]):
        assert unknown not in without_oracle
