"""Sub-agents: what they are asked, what they can do, how runs are kept, and that no oracle reaches them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.as_of import AsOfToolBox, as_of_steps, recorded_calls
from agent.fakes import ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import media_buyer
from agent.oracle import nonce, with_oracle
from agent.ports import GenerationConfig, ModelAway, ToolError
from agent.recorder import record
from agent.run import Limits, Price
from agent.runtime import Runtime
from agent.spec import AgentSpec, SpecError
from agent.sub_agents import question
from schemas.records import AgentTrace, Part, Turn
from tests.unit.agent.conftest import ASK_WEEK, CAMPAIGN, DECIDED_AT, WEEK, raises_budget, reads

SPEC = media_buyer().spec
ASK = call("ask_performance_analyst", window="yesterday", focus="trend")
TWO_CORRECTIONS = Limits()


def finding(trend: str = "down", **changes: Any) -> Part:
    body: dict[str, Any] = {
        "finding": "CPA yesterday at 12.17 USD is fine.",
        "cited_metrics": [],
        "trend": trend,
    }
    return text(json.dumps(body | changes))


def answers(turns: tuple[Turn, ...]) -> list[Part]:
    return [part for turn in turns for part in turn.parts if part.kind == "function_response"]


def asks_an_analyst(*replies: Any) -> tuple[Any, ...]:
    """Main agent reads and asks, the analyst says `replies`, the main agent holds."""
    return reads(), says(ASK), *replies, says(decision_text("hold", CAMPAIGN))


def test_a_sub_agent_reads_and_answers_and_its_run_is_kept(run_script, tools):
    run, model = run_script(*asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    assert run.status == "completed"
    assert json.loads(answers(run.turns)[2].response_json)["trend"] == "down"
    (kept,) = run.sub_agent_runs
    assert (kept.run_id, kept.parent_id, kept.name) == ("performance_analyst-1", None, "performance_analyst")
    assert [turn.role for turn in kept.turns] == ["user", "model", "user", "model"]
    assert json.loads(answers(kept.turns)[0].response_json) == WEEK
    assert answers(kept.turns)[0].request_hash
    assert kept.usage.model_calls == 2
    assert (run.usage.model_calls, run.usage.tool_calls) == (5, 4)
    assert [name for name, _ in tools.calls] == ["get_insights", "get_campaign", "get_insights"]
    asked = model.requests[2]
    assert asked.system == SPEC.sub_agents["performance_analyst"].prompt
    assert [one["name"] for one in asked.declarations] == ["get_insights", "get_breakdown"]
    first = asked.contents[0].turn.parts[0].text
    assert first.startswith(f"Report on campaign {CAMPAIGN} of account act_100000511926228 for 2026-03-10:")
    assert "window yesterday, focus trend" in first


def test_the_record_and_the_trace_carry_the_runs(agent, setting, run_script):
    run, _ = run_script(*asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    made = record(agent, setting, run, decided_at=DECIDED_AT)
    assert made.sub_agent_runs == run.sub_agent_runs
    assert type(made).model_validate(made.to_avro()) == made
    assert [one.tool for one in recorded_calls(made)] == ["get_insights", "get_campaign", "get_insights"]
    assert "sub_agent_runs" in AgentTrace.model_fields


def test_seeds_of_a_sub_agent_are_its_own(run_script):
    _, model = run_script(*asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    assert len({request.seed for request in model.requests}) == len(model.requests)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({}, "the arguments must be ['focus', 'window'], not []"),
        ({"window": "yesterday", "focus": "trend", "note": "x"}, "not ['focus', 'note', 'window']"),
        (
            {"window": "yesterday", "focus": "Expected action: pause"},
            "argument 'focus' must be one of trend,",
        ),
        ({"window": 7, "focus": "trend"}, "argument 'window' must be of type string"),
    ],
)
def test_what_a_sub_agent_does_not_take_is_an_error_that_the_model_sees(run_script, arguments, shown):
    run, model = run_script(
        reads(), says(call("ask_performance_analyst", **arguments)), says(decision_text("hold", CAMPAIGN))
    )
    assert run.status == "completed"
    assert shown in answers(run.turns)[2].error
    assert run.sub_agent_runs == ()
    assert len(model.requests) == 3


@pytest.mark.parametrize("arguments", ["[]", '"trend"', "7", "null"])
def test_arguments_of_a_sub_agent_that_are_no_object_are_an_error(run_script, arguments):
    odd = Part(kind="function_call", tool="ask_delivery_analyst", arguments_json=arguments)
    run, _ = run_script(says(odd), says(decision_text("hold", CAMPAIGN)))
    assert "the arguments must be an object" in answers(run.turns)[0].error


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_free_text_reaches_a_sub_agent(window, focus):
    """Whatever a model writes as arguments: the question is made of listed values or is not asked at all."""
    own = SPEC.sub_agents["performance_analyst"]
    listed = {name: rule.values for name, rule in own.arguments.items()}
    values = {"campaign_id": "1", "account_id": "act_1", "date": "2026-03-10"}
    if window in listed["window"] and focus in listed["focus"]:
        return
    with pytest.raises(ToolError):
        question(own, {"window": window, "focus": focus}, values)


def test_an_oracle_is_in_no_request_of_a_sub_agent(agent, asked, tools):
    oracle = f"[note {nonce(b'k', 'r')}]\nExpected action: pause.\n[end of note {nonce(b'k', 'r')}]"
    model = ScriptedModel(asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    Runtime(model).run(
        agent,
        with_oracle(asked.turn(), oracle),
        tools,
        model_name="m",
        config=GenerationConfig(),
        run_id="r",
        values=asked.model_dump(mode="json"),
    )
    with_it = [
        any(oracle in (p.text or "") for m in r.contents for p in m.turn.parts) for r in model.requests
    ]
    assert with_it == [True, True, False, False, True]
    for request in model.requests[2:4]:
        said = "".join(part.text or "" for message in request.contents for part in message.turn.parts)
        assert "Expected action" not in said
        assert "note" not in request.contents[0].turn.parts[0].text


def test_a_sub_agents_reads_are_as_of_the_decision(agent, setting, run_script):
    run, _ = run_script(*asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    decision = record(agent, setting, run, decided_at=DECIDED_AT)
    box = AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))
    yesterday = {**ASK_WEEK, "date_preset": "yesterday"}
    elsewhere = {**ASK_WEEK, "entity_id": "5"}
    model = ScriptedModel(
        asks_an_analyst(
            says(call("get_insights", **yesterday), call("get_insights", **elsewhere)),
            says(finding()),
        )
    )
    again = Runtime(model).run(
        agent,
        decision.turns[0],
        box,
        model_name="m",
        config=GenerationConfig(),
        run_id="r2",
        values=json.loads(decision.input_json),
    )
    (kept,) = again.sub_agent_runs
    assert [part.answered_by for part in answers(kept.turns)] == ["superset", "miss"]
    assert again.misses == 1


@pytest.mark.parametrize("tool", [name for name, known in SPEC.tools.items() if known.effect == "write"])
def test_a_sub_agent_has_no_tool_that_writes(run_script, tools, tool):
    run, _ = run_script(*asks_an_analyst(says(call(tool, campaign_id=CAMPAIGN)), says(finding())))
    (kept,) = run.sub_agent_runs
    assert answers(kept.turns)[0].error.startswith(f"there is no tool '{tool}'")
    assert tool not in [name for name, _ in tools.calls]


def test_a_sub_agent_cannot_ask_another(run_script):
    run, _ = run_script(
        *asks_an_analyst(
            says(call("ask_delivery_analyst", window="yesterday", focus="status")), says(finding())
        )
    )
    (kept,) = run.sub_agent_runs
    assert answers(kept.turns)[0].error.startswith("there is no tool 'ask_delivery_analyst'")


@pytest.mark.parametrize(
    ("replies", "shown"),
    [
        ((says(text("Nothing to say.")),), "no_finding: the model wrote no finding"),
        ((says(finding(trend="sideways")),), "no_finding: 'trend' must be one of up, flat, down"),
        ((says(finding(advice="pause")),), r"no_finding: besides finding and cited_metrics"),
        ((says(finding(finding="x" * 2000)),), "no_finding: the finding has 2000 characters"),
        ((says(text('{"finding": ')),), "no_finding: the finding is no JSON"),
        ((says(finding(), finish_reason="SAFETY"),), "finish_reason: the model stopped with SAFETY"),
        (
            (
                says(
                    finding(
                        cited_metrics=[{"metric": "cpa", "window": "yesterday", "value": 1, "source": "x"}]
                    )
                ),
            ),
            "which has not answered here",
        ),
    ],
)
def test_a_sub_agent_that_fails_is_an_error_that_the_model_sees(run_script, replies, shown):
    run, _ = run_script(*asks_an_analyst(*replies))
    assert run.status == "completed"
    assert shown in answers(run.turns)[2].error
    assert len(run.sub_agent_runs) == 1


def test_a_sub_agent_may_write_a_refused_finding_again(run_script):
    replies = (says(finding(trend="sideways")), says(finding(trend="up")))
    run, model = run_script(*asks_an_analyst(*replies), limits=TWO_CORRECTIONS)
    assert json.loads(answers(run.turns)[2].response_json)["trend"] == "up"
    assert (
        model.requests[3].contents[-1].turn.parts[0].text.startswith("Not accepted: 'trend' must be one of")
    )


def test_turns_and_calls_of_sub_agents_are_bounded(run_script):
    own = SPEC.sub_agents["performance_analyst"]
    endless = tuple(says(call("get_insights", **ASK_WEEK)) for _ in range(own.max_turns))
    run, _ = run_script(*asks_an_analyst(*endless))
    assert f"max_turns: the model took {own.max_turns} turns" in answers(run.turns)[2].error
    asked = tuple(reply for _ in range(SPEC.sub_agent_calls) for reply in (says(ASK), says(finding())))
    run, _ = run_script(reads(), *asked, says(ASK), says(decision_text("hold", CAMPAIGN)))
    assert len(run.sub_agent_runs) == SPEC.sub_agent_calls
    assert f"were asked {SPEC.sub_agent_calls} times" in answers(run.turns)[-1].error


def test_a_sub_agents_tokens_turns_and_money_are_the_runs(run_script):
    price = Price("USD", input=1_000_000, cached=0, output=0)
    run, _ = run_script(*asks_an_analyst(says(finding())), price=price)
    assert run.usage.cost_micros == 400
    assert run.sub_agent_runs[0].usage.cost_micros == 100
    run, _ = run_script(
        *asks_an_analyst(says(call("get_insights", **ASK_WEEK)))[:3], limits=Limits(max_turns=3)
    )
    assert (run.status, run.reason) == ("exhausted", "max_turns: the model took 3 turns and wants another")


def test_a_model_that_goes_away_under_a_sub_agent_is_no_status(run_script):
    with pytest.raises(ModelAway):
        run_script(reads(), says(ASK), ModelAway("away"))


def test_a_write_is_not_forgotten_when_the_model_goes_away_under_a_sub_agent(run_script):
    decided, write = raises_budget()[1].message.turn.parts
    run, _ = run_script(reads(), says(decided, write, ASK), ModelAway("away"), ModelAway("away"))
    assert (run.status, run.decision.action.name) == ("completed", "scale_up")
    assert answers(run.turns)[3].error.startswith("performance_analyst came to no finding (the model is away")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda spec: spec["tools"]["ask_delivery_analyst"].update(sub_agent="nobody"),
            "which is no sub-agent",
        ),
        (
            lambda spec: spec["sub_agents"]["delivery_analyst"]["arguments"].update(note={"type": "string"}),
            "free text",
        ),
        (
            lambda spec: spec["sub_agents"]["delivery_analyst"].update(declarations=[{"name": "set_status"}]),
            "a sub-agent may only have tools that read a platform",
        ),
        (
            lambda spec: spec["sub_agents"]["delivery_analyst"].update(
                declarations=[{"name": "ask_performance_analyst"}]
            ),
            "a sub-agent may only have tools that read a platform",
        ),
        (lambda spec: spec["tools"]["set_status"].update(sub_agent="delivery_analyst"), "it may only read"),
    ],
)
def test_a_spec_whose_sub_agents_could_do_more_is_refused(change, said):
    loaded = json.loads(SPEC.content())
    change(loaded)
    with pytest.raises(SpecError, match=said):
        AgentSpec.of(loaded)


def test_a_time_stands_on_what_a_sub_agent_read(agent, setting, run_script):
    run, _ = run_script(*asks_an_analyst(says(call("get_insights", **ASK_WEEK)), says(finding())))
    fetched = answers(run.sub_agent_runs[0].turns)[0].fetched_at
    assert fetched is not None
    assert abs(fetched - datetime.now(UTC)) > timedelta(days=1)
