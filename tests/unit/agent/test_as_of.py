"""The as-of source: recorded answers, answers computed from them, misses; writes are never made."""

import json
import socket
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.as_of import AsOfToolBox, Recorded, SameRequest, Superset, as_of_steps, recorded_calls
from agent.derive import derive
from agent.fakes import FunctionTools, ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import media_buyer
from agent.media_buyer.tools import live_tools
from agent.ports import GenerationConfig, ToolError, ToolMiss
from agent.recorder import Setting, record, take_snapshot
from agent.run import AgentDefinition, Limits
from agent.runtime import Runtime
from agent.settings import AdsSettings
from agent.spec import AgentSpec
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json
from schemas.records import IntendedWrite, Turn
from tests.unit.agent.conftest import ASK_WEEK, CAMPAIGN, CAMPAIGN_NODE, DECIDED_AT, WEEK, reads

SPEC = media_buyer().spec
INSIGHTS = SPEC.tools["get_insights"]
TODAY = date(2026, 3, 10)


def box(decision):
    agent = media_buyer()
    return AsOfToolBox(agent.spec, agent.declarations, as_of_steps(agent.spec, decision))


def ask(**changes):
    return {name: value for name, value in (ASK_WEEK | changes).items() if value is not None}


def test_the_same_request_gets_the_recorded_body_however_it_is_written(decision):
    answer = box(decision).call("get_insights", ask(fields=list(reversed(ASK_WEEK["fields"]))))
    assert (json.loads(answer.body), answer.answered_by) == (WEEK, "recording")
    answer = box(decision).call("get_campaign", {"campaign_id": CAMPAIGN})
    assert json.loads(answer.body) == CAMPAIGN_NODE


def test_yesterday_is_cut_out_of_the_week(decision):
    answer = box(decision).call("get_insights", ask(date_preset="yesterday", time_increment=None))
    assert answer.answered_by == "superset"
    (row,) = json.loads(answer.body)["data"]
    assert row == WEEK["data"][-1]


def test_days_are_summed_and_ratios_computed_anew():
    fields = ["purchase_roas", "spend", "clicks", "actions"]
    found = derive(
        INSIGHTS, ask(time_increment=None, date_preset="last_3d", fields=fields), ASK_WEEK, WEEK, TODAY
    )
    spends = [107.5, 108.5, 109.5]
    (row,) = found["data"]
    assert row["spend"] == f"{sum(spends):.2f}"
    assert row["clicks"] == "60"
    assert row["actions"] == [{"action_type": "purchase", "value": "24"}]
    assert row["purchase_roas"] == [{"action_type": "omni_purchase", "value": "2.500000"}]
    assert (row["date_start"], row["date_stop"]) == ("2026-03-07", "2026-03-09")
    assert "impressions" not in row


def test_fewer_days_by_day_are_a_selection():
    found = derive(INSIGHTS, ask(date_preset="last_3d", fields=["spend"]), ASK_WEEK, WEEK, TODAY)
    assert found["data"] == [
        {"spend": f"{100 + day}.50", "date_start": f"2026-03-0{day}", "date_stop": f"2026-03-0{day}"}
        for day in (7, 8, 9)
    ]


def test_a_day_without_sales_counts_with_nothing():
    rows = [dict(row) for row in WEEK["data"]]
    for name in ("actions", "purchase_roas"):
        del rows[-1][name]
    found = derive(INSIGHTS, ask(time_increment=None, date_preset="last_3d"), ASK_WEEK, {"data": rows}, TODAY)
    (row,) = found["data"]
    assert row["actions"] == [{"action_type": "purchase", "value": "15"}]
    expected = 2.5 * (107.5 + 108.5) / (107.5 + 108.5 + 109.5)
    assert float(row["purchase_roas"][0]["value"]) == pytest.approx(expected, abs=1e-6)


def test_no_delivery_is_no_row():
    found = derive(INSIGHTS, ask(date_preset="yesterday"), ASK_WEEK, {"data": WEEK["data"][:-1]}, TODAY)
    assert found == {"data": []}


@pytest.mark.parametrize(
    "wanted",
    [
        ask(date_preset="last_28d"),
        ask(date_preset="last_14d"),
        ask(entity_id="other"),
        ask(fields=["spend", "reach"]),
        ask(fields="spend"),
        ask(level="adset"),
    ],
)
def test_what_the_recording_does_not_contain_is_not_invented(wanted):
    assert derive(INSIGHTS, wanted, ASK_WEEK, WEEK, TODAY) is None


def test_people_reached_do_not_add_up_but_may_be_read_day_by_day():
    asked = ask(fields=["spend", "reach"])
    rows = {"data": [{**row, "reach": "900"} for row in WEEK["data"]]}
    assert derive(INSIGHTS, ask(fields=["reach"], time_increment=None), asked, rows, TODAY) is None
    daily = derive(INSIGHTS, ask(fields=["reach"], date_preset="yesterday"), asked, rows, TODAY)
    assert daily["data"][0]["reach"] == "900"


def test_a_sum_over_the_window_cannot_be_taken_apart():
    whole = {"data": [WEEK["data"][-1]]}
    asked = ask(time_increment=None)
    assert derive(INSIGHTS, ask(), asked, whole, TODAY) is None
    assert derive(INSIGHTS, ask(date_preset="yesterday"), asked, whole, TODAY) is None
    assert derive(INSIGHTS, ask(time_increment=None, fields=["spend"]), asked, whole, TODAY) is not None


@pytest.mark.parametrize(
    "body", [None, [], {"truncated": True}, {"data": "x"}, {"data": [1]}, {"data": [{}]}]
)
def test_a_recording_of_another_shape_answers_nothing(body):
    assert derive(INSIGHTS, ask(date_preset="yesterday"), ASK_WEEK, body, TODAY) is None


def test_breakdown_rows_are_not_mistaken_for_days():
    doubled = {"data": [*WEEK["data"], WEEK["data"][0]]}
    assert derive(INSIGHTS, ask(date_preset="last_3d"), ASK_WEEK, doubled, TODAY) is None


def test_a_quotient_of_sums_counts_the_days_without_a_sale():
    sold = [{"action_type": "purchase", "value": "3"}]
    cost = [{"action_type": "purchase", "value": "10.0"}]
    rows = {
        "data": [
            {"spend": "30.00", "actions": sold, "cost_per_action_type": cost, "date_start": "2026-03-08"},
            {"spend": "20.00", "date_start": "2026-03-09"},
        ]
    }
    fields = ["spend", "actions", "cost_per_action_type"]
    found = derive(
        INSIGHTS,
        ask(date_preset="last_3d", time_increment=None, fields=fields),
        ask(fields=fields),
        rows,
        TODAY,
    )
    assert found["data"][0]["cost_per_action_type"] == [{"action_type": "purchase", "value": "16.666667"}]


def test_what_nothing_can_answer_is_a_miss(decision):
    with pytest.raises(ToolMiss, match="no answer to these arguments for the time of this decision"):
        box(decision).call("get_insights", ask(entity_id="act_1"))


def test_the_snapshot_answers_what_the_run_did_not_ask(agent, setting, tools, run_script):
    month = {"data": [*({**WEEK["data"][0], "date_start": f"2026-02-{d}", "date_stop": f"2026-02-{d}"}
                       for d in range(10, 29)), *WEEK["data"]]}  # fmt: skip
    functions = {**tools.functions, "get_insights": lambda _: json.dumps(month)}
    snapshot = take_snapshot(
        agent.spec, type(tools)(agent.spec, agent.declarations, functions), setting.input, DECIDED_AT
    )
    assert [entry.tool for entry in snapshot] == [call.tool for call in agent.spec.snapshot]
    assert json.loads(snapshot[0].arguments_json)["entity_id"] == CAMPAIGN
    run, _ = run_script(says(decision_text("hold", CAMPAIGN)))
    decision = record(agent, setting, run, decided_at=DECIDED_AT, snapshot=snapshot)
    answer = box(decision).call("get_insights", ask())
    assert answer.answered_by == "snapshot"
    assert [row["date_start"] for row in json.loads(answer.body)["data"]] == [
        row["date_start"] for row in WEEK["data"]
    ]
    assert box(decision).call("get_campaign", {"campaign_id": CAMPAIGN}).answered_by == "snapshot"


@pytest.mark.parametrize("failure", [ToolError("no"), ConnectionError("https://host/?token=verysecret")])
def test_a_snapshot_call_that_fails_is_left_out(agent, setting, tools, failure):
    def fails(_):
        raise failure

    functions = {name: lambda _: "{}" for name in agent.spec.tools} | {"get_insights": fails}
    snapshot = take_snapshot(
        agent.spec, type(tools)(agent.spec, agent.declarations, functions), setting.input, DECIDED_AT
    )
    kept = [call.tool for call in agent.spec.snapshot if call.tool != "get_insights"]
    assert [entry.tool for entry in snapshot] == kept


def test_a_snapshot_call_that_the_input_does_not_fill_is_left_out(agent, tools):
    snapshot = take_snapshot(agent.spec, tools, {"account_id": "act_1"}, DECIDED_AT)
    assert [entry.tool for entry in snapshot] == ["get_account"]


def test_no_foreign_error_of_a_snapshot_call_is_logged(agent, setting, tools, capsys):
    def leaks(_):
        raise ConnectionError("https://host/?token=verysecret")

    tools.functions = dict.fromkeys(tools.functions, leaks)
    assert take_snapshot(agent.spec, tools, setting.input, DECIDED_AT) == ()
    logged = capsys.readouterr()
    assert "ConnectionError" in logged.out + logged.err
    assert "verysecret" not in logged.out + logged.err


def test_a_recorded_failure_fails_again(agent, setting, tools, run_script):
    def fails(_):
        raise ToolError("unknown campaign")

    tools.functions = {**tools.functions, "get_campaign": fails}
    run, _ = run_script(reads(), says(decision_text("hold", CAMPAIGN)))
    decision = record(agent, setting, run, decided_at=DECIDED_AT)
    assert [one.error for one in recorded_calls(decision)] == [None, "unknown campaign"]
    with pytest.raises(ToolError, match="unknown campaign"):
        box(decision).call("get_campaign", {"campaign_id": CAMPAIGN})


def test_what_was_read_after_the_write_is_not_of_the_decisions_time(agent, setting, tools, run_script):
    """The write shows in it: a replay that saw it would see its own future."""
    status = iter(["ACTIVE", "PAUSED"])
    node = {"get_campaign": lambda _: json.dumps({**CAMPAIGN_NODE, "status": next(status)})}
    tools.functions = {**tools.functions, **node}
    write = call("set_status", campaign_id=CAMPAIGN, status="PAUSED")
    run, _ = run_script(
        says(call("get_insights", **ASK_WEEK)),
        says(decision_text("pause", CAMPAIGN), write),
        says(call("get_campaign", campaign_id=CAMPAIGN)),
        says(text("Done.")),
    )
    decision = record(agent, setting, run, decided_at=DECIDED_AT)
    assert [one.tool for one in recorded_calls(decision)] == ["get_insights"]
    with pytest.raises(ToolMiss):
        box(decision).call("get_campaign", {"campaign_id": CAMPAIGN})


@pytest.mark.parametrize("failures", [1, 2])
def test_an_answer_counts_before_a_failure_of_the_same_request(agent, setting, tools, run_script, failures):
    tries = iter(range(failures))

    def fails_first(_):
        for _ in tries:
            raise ToolError("throttled (code 4)")
        return json.dumps(CAMPAIGN_NODE)

    tools.functions = {**tools.functions, "get_campaign": fails_first}
    ask = call("get_campaign", campaign_id=CAMPAIGN)
    run, _ = run_script(reads(), says(ask), says(ask), says(decision_text("hold", CAMPAIGN)))
    decision = record(agent, setting, run, decided_at=DECIDED_AT)
    answer = box(decision).call("get_campaign", {"campaign_id": CAMPAIGN})
    assert (json.loads(answer.body), answer.answered_by) == (CAMPAIGN_NODE, "recording")


ASKS = call("ask_delivery_analyst", window="yesterday", focus="status")
ODD = call("ask_delivery_analyst", window="yesterday", focus="weather")
STEPS = ["read", "read", "ask", "ask", "failed ask", "odd ask", "refused", "write"]


def look(number):
    return call("get_insights", entity_id=str(number), date_preset="last_7d", fields=["spend"])


def replies_of(steps):
    """What the model says, turn by turn; each read has an entity of its own."""
    decided = decision_text("pause", CAMPAIGN)
    write = call("set_status", campaign_id=CAMPAIGN, status="PAUSED")
    found = text('{"finding": "Fine.", "cited_metrics": [], "trend": "flat"}')
    yield says(look(0))
    for number, step in enumerate(steps, 1):
        if step == "read":
            yield says(look(number))
        elif step == "write":
            yield says(decided, write)
        elif step == "refused":
            yield says(decision_text("double_it", CAMPAIGN), write)
        else:
            yield says(ODD if step == "odd ask" else ASKS)
            if step in ("ask", "failed ask"):
                yield says(look(number))
                yield says(found, finish_reason="STOP" if step == "ask" else "SAFETY")
    yield says(text("Done.") if "write" in steps else decided, *([] if "write" in steps else [write]))
    yield says(text("Done."))


@settings(deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=7))
def test_a_replay_sees_what_was_read_before_the_write_and_nothing_else(steps):
    agent = media_buyer()
    spec = agent.spec.model_copy(update={"sub_agent_calls": 7})
    functions = dict.fromkeys(spec.tools, lambda _: "{}")
    tools = FunctionTools(spec, agent.declarations, functions, DECIDED_AT)
    agent = AgentDefinition(spec, agent.system_prompt, agent.declarations)
    question = Turn(role="user", parts=(text("Decide."),))
    values = {"currency": "USD", "time_zone": "UTC", "account_id": "a", "campaign_id": CAMPAIGN, "date": "d"}
    runtime = Runtime(ScriptedModel([*replies_of(steps)]), Limits(max_turns=99, max_corrections=99))
    run = runtime.run(agent, question, tools, model_name="m", run_id="r", values=values)
    setting = Setting("d1", "a", "UTC", "USD", values, "m", GenerationConfig())
    kept = [one.arguments for one in recorded_calls(record(agent, setting, run, decided_at=DECIDED_AT))]
    names = [name for name, _ in tools.calls]
    before = [arguments for name, arguments in tools.calls[: names.index("set_status")]]
    assert all(one in before for one in kept)
    # a call that asked nobody may have been a sub-agent's, so one of theirs is left out for it
    if "odd ask" not in steps[steps.index("write") if "write" in steps else len(steps) :]:
        assert len(kept) == len(before)


WRITES = {
    "set_daily_budget": {"campaign_id": CAMPAIGN, "daily_budget": 1},
    "set_status": {"campaign_id": CAMPAIGN, "status": "PAUSED"},
}


@pytest.mark.parametrize("tool", [name for name, known in SPEC.tools.items() if known.effect == "write"])
def test_no_write_tool_reaches_a_socket(decision, monkeypatch, tool):
    def forbidden(*_, **__):
        raise AssertionError("a replay opened a socket")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket.socket, "connect_ex", forbidden)
    tools = box(decision)
    arguments = WRITES[tool]
    answer = tools.call(tool, arguments)
    assert (json.loads(answer.body), answer.answered_by) == ({"success": True}, "simulated")
    assert tools.intended_writes == (IntendedWrite(tool=tool, arguments_json=canonical_json(arguments)),)


@pytest.mark.parametrize(
    ("tool", "arguments", "fault"),
    [
        ("get_campaign", {}, "campaign_id: Field required"),
        ("get_campaign", {"campaign_id": CAMPAIGN, "days": 3}, "days: Extra inputs are not permitted"),
        ("get_campaign", {"campaign_id": 7}, "campaign_id: Input should be a valid string"),
        ("get_insights", ask(fields=None), "fields: Field required"),
        ("get_insights", ask(time_increment=7), "time_increment: Input should be 1"),
        (
            "get_insights",
            ask(date_preset=None, time_range={"since": "2026-03-01"}),
            "time_range.until: Field",
        ),
        (
            "get_insights",
            ask(action_attribution_windows=["2d"]),
            "action_attribution_windows.0: Input should",
        ),
        ("get_ads", {"campaign_id": CAMPAIGN, "limit": 1}, "limit: Extra inputs"),  # a sub-agent's tool
        ("set_status", {"campaign_id": CAMPAIGN, "status": "GONE"}, "status: Input should be 'ACTIVE' or"),
        ("set_daily_budget", {"campaign_id": CAMPAIGN, "daily_budget": "5"}, "daily_budget: Input should be"),
    ],
)
def test_what_production_refuses_a_replay_refuses_in_its_words(decision, tool, arguments, fault):
    tools = box(decision)
    with pytest.raises(ToolError) as refused:
        tools.call(tool, arguments)
    assert refused.value.answered_by == "error", "it is no miss"
    assert str(refused.value).startswith(f"{tool} cannot be called like this: {fault}")
    assert tools.intended_writes == ()
    nowhere = AdsSettings(graph_url="http://127.0.0.1:1")
    with live_tools(media_buyer(), nowhere, lambda: DECIDED_AT) as live, pytest.raises(ToolError) as theirs:
        live.call(tool, arguments)
    assert str(refused.value) == str(theirs.value)


def test_what_was_recorded_is_answered_though_it_could_not_be_asked_today(decision):
    narrow = [{"name": "get_insights", "parameters": {"type": "object", "properties": {}}}]
    tools = AsOfToolBox(SPEC, narrow, as_of_steps(SPEC, decision))
    assert tools.call("get_insights", ASK_WEEK).answered_by == "recording"
    with pytest.raises(ToolError, match="cannot be called like this"):
        tools.call("get_insights", ask(date_preset="yesterday"))
    of_snapshot = AsOfToolBox(SPEC, narrow, [SameRequest(SPEC, recorded_calls(decision), "snapshot")])
    assert of_snapshot.call("get_insights", ASK_WEEK).answered_by == "snapshot"


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        {"properties": []},
        {"properties": {"campaign_id": {}}},
        {"properties": {"campaign_id": {"type": ["string", "null"], "enum": [{}]}}},
        {"properties": {"campaign_id": {"type": "ID"}}},
        {"properties": {"campaign_id": {"anyOf": [{"type": "string"}]}}, "required": ["campaign_id"]},
        {"properties": {"campaign_id": {"type": "string", "minLength": 1}, "_more": {"type": "object"}}},
        {"properties": {}, "additionalProperties": True},
    ],
)
def test_a_declaration_that_says_less_refuses_less(decision, parameters):
    declared = [{"name": "get_campaign", "parameters": parameters}]
    tools = AsOfToolBox(SPEC, declared, as_of_steps(SPEC, decision)[2:])
    with pytest.raises(ToolMiss):
        tools.call("get_campaign", {"campaign_id": "another"})


def test_a_recorded_body_that_is_no_json_is_passed_over(decision):
    first, *others = recorded_calls(decision)
    step = Superset(SPEC, [replace(first, body="[" * 100_000), replace(first, body="<html>"), first, *others])
    wanted = ask(date_preset="yesterday", time_increment=None)
    assert json.loads(step.answer("get_insights", wanted, "").body)["data"] == [WEEK["data"][-1]]


DATED = AgentSpec.of(
    {
        "name": "a",
        "version": "1",
        "segment": "s",
        "actions": {},
        "tools": {
            "get_report": {
                "effect": "read",
                "dates": {"argument": "preset", "range": "range", "increment": "step",
                          "days": {"yesterday": [1, 1], "last_3d": [3, 1]}},
            }
        },
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "same"),
    [
        ({"range": {"since": "2026-03-07", "until": "2026-03-09"}}, True),
        ({"preset": "last_3d", "step": "all_days"}, True),
        ({"preset": "last_3d", "step": 1}, False),
        ({"preset": "last_3d", "step": "monthly"}, False),
        ({"range": {"since": "2026-03-08", "until": "2026-03-09"}}, False),
        ({"preset": "yesterday"}, False),
        ({"preset": "ever"}, False),
        ({"preset": "last_3d", "city": "Rome"}, False),
    ],
)
def test_the_same_days_by_another_name_are_the_recording_where_there_are_no_rows(wanted, same):
    asked = {"preset": "last_3d"}
    known = Recorded("get_report", asked, canonical_request_hash(DATED, "get_report", asked), '"fine"', TODAY)
    step = SameRequest(DATED, [known])
    found = step.answer("get_report", wanted, canonical_request_hash(DATED, "get_report", wanted))
    assert (found and (found.body, found.answered_by)) == (('"fine"', "recording") if same else None)


def test_a_tool_that_the_agent_does_not_declare_does_not_exist(decision):
    tools = AsOfToolBox(SPEC, [], as_of_steps(SPEC, decision))
    assert tools.effect("get_campaign") is None
    assert call("get_campaign").tool == "get_campaign"


def level_rows(*days, windows=()):
    """Two ad sets a day, with counts by window where they are asked for."""
    return {
        "data": [
            {
                **WEEK["data"][day - 3],
                "adset_id": ad_set,
                "actions": [{"action_type": "purchase", "value": "4"} | dict.fromkeys(windows, "3")],
            }
            for ad_set in ("11", "12")
            for day in days
        ]
    }


def test_rows_of_a_level_are_summed_apart():
    asked = ask(level="adset")
    found = derive(INSIGHTS, asked | {"date_preset": "last_3d", "time_increment": None}, asked,
                   level_rows(7, 8, 9), TODAY)  # fmt: skip
    assert [(row["adset_id"], row["spend"]) for row in found["data"]] == [("11", "325.50"), ("12", "325.50")]
    assert [row["actions"][0]["value"] for row in found["data"]] == ["12", "12"]


def test_one_ad_set_is_read_out_of_its_campaigns_rows():
    asked = ask(level="adset")
    found = derive(INSIGHTS, ask(entity_id="12", date_preset="yesterday"), asked, level_rows(8, 9), TODAY)
    assert found["data"] == [
        {**{name: WEEK["data"][-1][name] for name in WEEK["data"][-1] if name != "actions"},
         "actions": [{"action_type": "purchase", "value": "4"}]}
    ]  # fmt: skip
    kept = derive(INSIGHTS, ask(entity_id="12", level="adset"), asked, level_rows(9), TODAY)
    assert [row["adset_id"] for row in kept["data"]] == ["12"]


@pytest.mark.parametrize(
    "wanted", [ask(entity_id="13"), ask(entity_id="12", level="ad"), ask(level="ad"), ask(level=None)]
)
def test_a_level_that_was_not_recorded_is_not_invented(wanted):
    assert derive(INSIGHTS, wanted, ask(level="adset"), level_rows(8, 9), TODAY) is None


def test_a_range_of_days_is_cut_out_of_a_preset():
    wanted = ask(date_preset=None, time_range={"since": "2026-03-05", "until": "2026-03-06"})
    found = derive(INSIGHTS, wanted, ASK_WEEK, WEEK, TODAY)
    assert [row["date_start"] for row in found["data"]] == ["2026-03-05", "2026-03-06"]
    for since, until in (("2026-03-02", "2026-03-04"), ("2026-03-09", "2026-03-10"), ("x", "y")):
        beyond = ask(date_preset=None, time_range={"since": since, "until": until})
        assert derive(INSIGHTS, beyond, ASK_WEEK, WEEK, TODAY) is None


def test_windows_are_left_out_or_summed_and_never_invented():
    recorded = ask(level="adset", action_attribution_windows=["1d_click", "1d_view"])
    rows = level_rows(8, 9, windows=("1d_click", "1d_view"))
    without = derive(INSIGHTS, ask(level="adset"), recorded, rows, TODAY)
    assert without["data"][0]["actions"] == [{"action_type": "purchase", "value": "4"}]
    summed = derive(
        INSIGHTS,
        ask(level="adset", action_attribution_windows=["1d_view"], time_increment=None),
        recorded,
        rows,
        TODAY,
    )
    assert summed["data"][0]["actions"] == [{"action_type": "purchase", "value": "8", "1d_view": "6"}]
    more = ask(level="adset", action_attribution_windows=["7d_click"])
    assert derive(INSIGHTS, more, recorded, rows, TODAY) is None


def test_a_quotient_that_was_not_recorded_follows_from_its_parts():
    recorded = ask(fields=["spend", "impressions", "clicks", "actions", "action_values"])
    rows = {
        "data": [
            {name: value for name, value in WEEK["data"][-1].items() if name != "purchase_roas"}
            | {"action_values": [{"action_type": "purchase", "value": "219.00"}]}
        ]
    }
    fields = ["ctr", "cpc", "cpm", "purchase_roas", "cost_per_action_type"]
    for increment in (1, None):
        wanted = ask(fields=fields, date_preset="yesterday", time_increment=increment)
        (row,) = derive(INSIGHTS, wanted, recorded, rows, TODAY)["data"]
        assert (row["ctr"], row["cpc"], row["cpm"]) == ("2.000000", "5.475000", "109.500000")
        assert row["purchase_roas"] == [{"action_type": "omni_purchase", "value": "2.000000"}]
        assert row["cost_per_action_type"] == [{"action_type": "purchase", "value": "12.166667"}]
    assert derive(INSIGHTS, ask(fields=["frequency"]), recorded, rows, TODAY) is None
