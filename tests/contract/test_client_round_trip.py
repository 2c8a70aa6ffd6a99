"""A run recorded with the client is the record that `agent.recorder` makes of the same run."""

import contextlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.as_of import AsOfToolBox, as_of_steps
from agent.fakes import FunctionTools, ScriptedModel, call, decision_text, says, text
from agent.http.client import AgentClient
from agent.http.tools_endpoint import ToolsEndpoint
from agent.load import exported
from agent.media_buyer.definition import artifacts, media_buyer
from agent.ports import GenerationConfig, Message, ModelReply
from agent.recorder import Setting, record, take_snapshot
from agent.run import AgentDefinition, Limits
from agent.runtime import Runtime, turn_seed
from examples.support_refund import policy
from examples.support_refund.production import MODEL, decide, question, support_refund
from examples.support_refund.shop import CURRENCY, TIME_ZONE, Ticket
from opoi_client import Agent, Conversation, Decision, Recorder, Usage, thought
from opoi_client import call as calls
from schemas.catalog import plain_schema
from schemas.codec import Codec
from schemas.memory import MemoryStore
from schemas.records import AgentDecision, Part, SubAgentRun, TokenLogProbability, Turn
from tests.refund_agent import served
from tests.unit.agent.conftest import ASK_WEEK, CAMPAIGN, CAMPAIGN_NODE, DECIDED_AT, WEEK
from tests.unit.agent.test_sub_agents import ASK, finding

TOPIC = "agent.decisions"
Tool = Callable[..., Any]


def client_agent(agent: AgentDefinition, folder: Path) -> Agent:
    """The agent as the client reads it."""
    (folder / "agent.json").write_text(exported(agent))
    return Agent.read(folder / "agent.json")


def received(decision: Decision) -> AgentDecision:
    """What the pipeline reads of the client's bytes."""
    store = MemoryStore.whole()
    schema_id = store.id_of(f"{TOPIC}-value", plain_schema("AgentDecision"))
    value = struct.pack(">bI", 0, schema_id) + decision.to_avro()
    found = Codec(store).decode_as(TOPIC, value, AgentDecision)
    assert AgentDecision.model_validate_json(decision.to_json()) == found
    return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The support-refund agent, served."""
    with served() as address:
        yield address


def by_name(function: Callable[[Mapping[str, Any]], object]) -> Callable[..., object]:
    """A tool of the shop as a function of named arguments."""
    return lambda **arguments: function(arguments)


class ForeignAgent:
    """The support-refund agent in a loop of its own: nothing of the pipeline, the client beside it."""

    def __init__(self, agent: Agent, ticket: Ticket) -> None:
        functions = {name: by_name(function) for name, function in ticket.tools().items()}
        self.recorder = Recorder(
            agent,
            decision_id=f"ticket-{ticket.number}",
            account_id=ticket.account_id,
            account_time_zone=TIME_ZONE,
            currency=CURRENCY,
            input=ticket.input(),
            model=MODEL,
            generation_config={"log_probabilities": True},
            clock=lambda: ticket.decided_at,
        )
        self.recorder.take_snapshot(functions)
        self.functions = functions
        self.asked = 0

    def decide(self, first: str, seed: int) -> Decision:
        self.recorder.user(first)
        decided = policy.decide([first], seed, self.ask)
        said = f"{decided.rationale} Decision: {decided.action}."
        if decided.write is None:
            self.say(said)
        else:
            self.ask([decided.write], said)
            self.say("That is done.")
        return self.recorder.finish(
            decided.action, target=decided.target, arguments=decided.arguments, rationale=decided.rationale
        )

    def ask(self, wanted: list[tuple[str, dict[str, Any]]], *said: str) -> list[policy.Answer]:
        numbered = [(f"call-{self.asked + number}", *one) for number, one in enumerate(wanted)]
        self.asked += len(wanted)
        self.say(*said, *(calls(tool, arguments, call_id=one) for one, tool, arguments in numbered))
        found: dict[str, Any] = {}
        # answered in another order than asked, as threads would
        for one, tool, arguments in reversed(numbered):
            function = self.functions[tool]
            found[one] = self.recorder.run_tool(
                tool, arguments, lambda f=function, a=arguments: f(**a), call_id=one
            )
        return [found[one] for one, _, _ in numbered]

    def say(self, *parts: Any) -> None:
        words = [part if isinstance(part, str) else part["arguments_json"] for part in parts]
        self.recorder.model(*parts, usage=Usage(output_tokens=sum(len(one.split()) for one in words)))


@pytest.mark.parametrize("number", range(6))
def test_a_foreign_agents_run_is_the_record_that_the_pipeline_would_make(
    url: str, tmp_path: Path, number: int
) -> None:
    ticket, agent = Ticket(number), support_refund()
    client, endpoint = AgentClient(url), ToolsEndpoint()
    try:
        expected = decide(agent, client, endpoint, ticket)
    finally:
        endpoint.close()
        client.close()

    foreign = ForeignAgent(client_agent(agent, tmp_path), ticket)
    first = question(ticket.input()).parts[0].text or ""
    made = foreign.decide(first, turn_seed(f"{ticket.account_id}.ticket-{number}", 0))

    assert made.key == f"{expected.agent}/{expected.decision_id}"
    assert received(made) == expected


def test_the_pipelines_as_of_tools_answer_from_the_clients_snapshot(tmp_path: Path) -> None:
    ticket, agent = Ticket(1), support_refund()
    foreign = ForeignAgent(client_agent(agent, tmp_path), ticket)
    decision = received(foreign.decide(question(ticket.input()).parts[0].text or "", 3))
    order = {"order_id": "O1"}
    whole = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))
    forgotten = decision.model_copy(update={"turns": ()})
    bare = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, forgotten))
    week = {"customer_id": "C1", "window": "last_7d", "fields": ["refunds", "orders"]}

    assert whole.call("get_order", order).answered_by == "recording"
    assert bare.call("get_order", order).answered_by == "snapshot"
    assert bare.call("get_order", order).body == whole.call("get_order", order).body
    assert bare.call("get_customer_history", week).answered_by == "snapshot"
    assert json.loads(bare.call("get_customer_history", week).body) == ticket.tools()["get_customer_history"](
        week
    )


def test_the_artifacts_are_those_that_registering_puts_there(tmp_path: Path) -> None:
    for agent in (support_refund(), media_buyer()):
        ours = {(one.kind, one.artifact_id, one.content) for one in artifacts(agent, DECIDED_AT)}
        theirs = {
            (one.kind, one.artifact_id, one.content) for one in client_agent(agent, tmp_path).artifacts()
        }
        assert theirs == ours


def scripted() -> list[ModelReply]:
    """Reads of which one fails, an analyst, a thought, log-probabilities, a change of the budget."""
    scored = says(
        Part(kind="thought", text="Yesterday counts.", signature=b"\x00\xff"),
        call("get_insights", **ASK_WEEK),
        call("get_campaign", campaign_id=CAMPAIGN),
        call("get_ads", parent_id=CAMPAIGN),
    )
    likely = (
        TokenLogProbability(token="Yes", log_probability=-0.25),
        TokenLogProbability(token="ter", log_probability=float("-inf")),
    )
    turn = scored.message.turn.model_copy(update={"log_probabilities": likely})
    decided = decision_text("scale_up", CAMPAIGN, daily_budget=14400)
    write = call("set_daily_budget", campaign_id=CAMPAIGN, daily_budget=14400)
    analyst = (says(call("get_insights", **ASK_WEEK)), says(finding()))
    return [
        ModelReply(Message(turn), scored.usage),
        says(ASK),
        *analyst,
        says(decided, write),
        says(text("Done.")),
    ]


def feed(
    talk: Conversation, turns: Iterable[Turn], tools: Mapping[str, Tool], runs: Iterator[SubAgentRun]
) -> None:
    """Let a foreign agent say what the model said, and call the tools that it called."""
    for turn in turns:
        words = [part.text for part in turn.parts if part.kind == "text" and part.text]
        if turn.role == "user":
            if words:
                talk.user(*words)
            continue
        talk.model(
            *(said(part) for part in turn.parts),
            finish_reason=turn.finish_reason,
            log_probabilities=[(one.token, one.log_probability) for one in turn.log_probabilities],
            usage=Usage(input_tokens=100, output_tokens=10),
        )
        for part in turn.parts:
            if part.kind == "function_call":
                answer(talk, part.tool or "", json.loads(part.arguments_json or ""), tools, runs)


def said(part: Part) -> Any:
    """A part of the model's as the client takes it."""
    if part.kind == "function_call":
        return calls(part.tool or "", json.loads(part.arguments_json or ""))
    return thought(part.text or "", signature=part.signature) if part.kind == "thought" else part.text


def answer(
    talk: Conversation,
    tool: str,
    arguments: Mapping[str, Any],
    tools: Mapping[str, Tool],
    runs: Iterator[SubAgentRun],
) -> None:
    """Call a tool, or run a sub-agent."""
    if isinstance(talk, Recorder) and talk.agent.is_sub_agent(tool):
        run = next(runs)
        feed(talk.sub_agent(run.name), run.turns, tools, runs)
        talk.answered(tool, arguments, json.loads(run.turns[-1].parts[0].text or ""))
    else:
        with contextlib.suppress(OSError):
            talk.tools(tools)[tool](**arguments)


def down(arguments: Mapping[str, Any]) -> str:
    """A tool whose platform cannot be reached."""
    raise OSError("http://token@platform.internal cannot be reached")


def test_sub_agents_log_probabilities_and_errors_are_recorded_alike(tmp_path: Path) -> None:
    agent = media_buyer()
    functions: dict[str, Callable[[Mapping[str, Any]], str]] = {
        **{name: lambda _: '{"data": []}' for name in agent.spec.tools},
        "get_insights": lambda _: json.dumps(WEEK),
        "get_campaign": lambda _: json.dumps(CAMPAIGN_NODE),
        "get_ads": down,
    }
    tools = FunctionTools(agent.spec, agent.declarations, functions, DECIDED_AT)
    values = {"campaign_id": CAMPAIGN, "account_id": "act_1", "date": "2026-03-10", "currency": "USD"}
    values |= {"time_zone": "America/New_York", "target_cpa_minor": "3200", "target_roas": "2.28"}
    snapshot = tuple(
        one
        for call_ in agent.spec.snapshot
        if call_.tool != "get_ads"
        for one in take_snapshot(
            agent.spec.model_copy(update={"snapshot": (call_,)}), tools, values, DECIDED_AT
        )
    )
    run = Runtime(ScriptedModel(scripted()), Limits(max_corrections=0)).run(
        agent,
        Turn(role="user", parts=(text("Decide."),)),
        tools,
        model_name="m",
        config=GenerationConfig(),
        run_id="r",
        values=values,
    )
    assert (run.status, run.reason) == ("completed", None)
    setting = Setting("d1", "act_1", "America/New_York", "USD", values, "m", GenerationConfig(), "7d_click")
    expected = record(agent, setting, run, decided_at=DECIDED_AT, snapshot=snapshot)
    assert {part.answered_by for turn in run.turns for part in turn.parts} == {None, "live", "error"}

    recorder = Recorder(
        client_agent(agent, tmp_path),
        decision_id="d1",
        account_id="act_1",
        account_time_zone="America/New_York",
        currency="USD",
        input=values,
        model="m",
        generation_config={"log_probabilities": True},
        attribution_setting="7d_click",
        clock=lambda: DECIDED_AT,
    )
    plain = {name: named(function) for name, function in functions.items()}
    recorder.take_snapshot(plain)
    feed(recorder, run.turns, plain, iter(run.sub_agent_runs))
    arguments = json.loads(expected.action.arguments_json)
    made = recorder.finish("scale_up", target=CAMPAIGN, arguments=arguments, rationale=expected.rationale)

    assert received(made) == expected
    assert "platform.internal" not in made.to_json()


def named(function: Callable[[Mapping[str, Any]], str]) -> Tool:
    """A tool that answers JSON text as a function of named arguments that answers the value."""
    return lambda **arguments: json.loads(function(arguments))
