"""The recorder keeps what was said and read in order, and pairs calls with their answers."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from client_kit import AGENT, NOW, SPEC, recorder

from opoi_client import Agent, AgentError, NotCanonical, Usage, call, request_hash, text, thought


def parts(decision: dict[str, Any], turn: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decision["turns"][turn]["parts"]
    return found


def test_answers_stand_in_the_order_of_the_calls_whatever_came_first() -> None:
    run = recorder()
    run.user("Decide.")
    first = {"order_id": "O1", "fields": ["paid", "state"]}
    run.model(
        thought("Hm.", signature=b"\x01"), call("get_order", first), call("get_order", {"order_id": "O2"})
    )
    run.answered("get_order", {"order_id": "O2"}, {"paid": 2})
    run.answered("get_order", {"fields": ["paid", "state"], "order_id": "O1"}, {"paid": 1})
    run.model("Escalate.")
    made = run.finish("escalate", rationale="Unclear.")

    assert [turn["role"] for turn in made["turns"]] == ["user", "model", "user", "model"]
    one, other = parts(made, 2)
    assert (json.loads(one["response_json"]), json.loads(other["response_json"])) == (
        {"paid": 1},
        {"paid": 2},
    )
    assert one["request_hash"] == request_hash("get_order", first, ["fields"])
    assert one["fetched_at"] == NOW.replace(microsecond=123000)
    assert (one["effect"], one["answered_by"]) == ("read", "live")
    assert made["finish_reason"] == "STOP"


def test_what_is_told_beside_tool_answers_stands_in_their_turn() -> None:
    run = recorder()
    run.user("Decide.")
    run.model(call("get_order", {"order_id": "O1"}))
    run.answered("get_order", {"order_id": "O1"}, {"paid": 1})
    before = run.turns()
    run.user("Two turns are left.")
    run.user("Be brief.")
    run.model("Escalate.")
    made = run.finish("escalate", rationale="r")
    assert [turn["role"] for turn in made["turns"]] == ["user", "model", "user", "model"]
    assert [part.get("text") for part in parts(made, 2)] == [None, "Two turns are left.", "Be brief."]
    assert [len(turn["parts"]) for turn in before] == [1, 1, 1], "what was given out stays as it was"


def test_same_calls_are_told_apart_by_their_ids() -> None:
    run = recorder()
    run.user("Decide.")
    run.model(*(call("get_order", {"order_id": "O1"}, call_id=one) for one in ("a", "b")))
    run.answered("get_order", {"order_id": "O1"}, 2, call_id="b")
    run.answered("get_order", {"order_id": "O1"}, 1, call_id="a")
    answers = parts(run.finish("escalate", rationale="r"), 2)
    assert [(one["call_id"], one["response_json"]) for one in answers] == [("a", "1"), ("b", "2")]


def test_a_call_that_no_turn_names_is_put_into_one() -> None:
    run = recorder()
    run.user("Decide.")
    order = run.tools({"get_order": lambda order_id: {"id": order_id}})["get_order"]
    assert [order(order_id=one) for one in ("O1", "O2")] == [{"id": "O1"}, {"id": "O2"}]
    made = run.finish("escalate", rationale="r")
    assert [part["arguments_json"] for part in parts(made, 1)] == ['{"order_id":"O1"}', '{"order_id":"O2"}']
    assert [part["response_json"] for part in parts(made, 2)] == ['{"id": "O1"}', '{"id": "O2"}']


def test_tools_may_answer_from_threads() -> None:
    run = recorder()
    run.user("Decide.")
    wanted = [{"order_id": f"O{number}"} for number in range(50)]
    run.model(*(call("get_order", one) for one in wanted))
    tool = run.tools({"get_order": lambda order_id: order_id})["get_order"]
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda one: tool(**one), wanted))) == 50
    made = run.finish("escalate", rationale="r")
    assert [json.loads(one["response_json"]) for one in parts(made, 2)] == [one["order_id"] for one in wanted]
    assert made["usage"] == {"model_calls": 1, "tool_calls": 50}


def test_what_a_tool_raises_is_recorded_without_its_words_and_raised() -> None:
    def down(**_: Any) -> None:
        raise OSError("http://token@internal")

    run = recorder()
    run.user("Decide.")
    with pytest.raises(OSError, match="token"):
        run.tools({"get_order": down})["get_order"](order_id="O1")
    made = run.finish("escalate", rationale="r")
    assert parts(made, 2)[0]["error"] == "get_order failed (OSError)"
    assert "token" not in made.to_json()


def test_coroutines_are_recorded_alike() -> None:
    async def get_order(order_id: str) -> dict[str, str]:
        await asyncio.sleep(0)
        if order_id == "O2":
            raise OSError("down")
        return {"id": order_id}

    run = recorder()
    run.user("Decide.")
    tool = run.tools({"get_order": get_order})["get_order"]

    async def both() -> list[Any]:
        return await asyncio.gather(tool(order_id="O1"), tool(order_id="O2"), return_exceptions=True)

    first, second = asyncio.run(both())
    assert first == {"id": "O1"}
    assert isinstance(second, OSError)
    found = {
        one.get("response_json", one.get("error")) for one in parts(run.finish("escalate", rationale="r"), 2)
    }
    assert found == {'{"id": "O1"}', "get_order failed (OSError)"}


@pytest.mark.parametrize("tool", ["get_order", "ask_analyst"])
@pytest.mark.parametrize("response", [object(), float("nan"), {1, 2}, Decimal(1), NOW, {"text": "\ud800"}])
def test_an_answer_that_is_no_json_is_the_agents_and_no_replay_takes_it_for_the_tools(
    tool: str, response: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = recorder()
    run.user("Decide.")
    assert run.tools({tool: lambda **_: response})[tool](order_id="O1") is response
    made = run.finish("escalate", rationale="r")
    (part,) = parts(made, 2)
    assert part["error"] == f"{tool} answered something that is no JSON"
    assert "request_hash" not in part
    assert f"{tool} answered a {type(response).__name__}, which JSON cannot carry" in caplog.text
    assert made.to_avro()


def test_an_awaitable_of_a_plain_function_is_no_answer_yet(caplog: pytest.LogCaptureFixture) -> None:
    async def get_order() -> str:
        return "O1"

    run = recorder()
    run.user("Decide.")
    tool = run.tools({"get_order": lambda **_: get_order()})["get_order"]
    assert asyncio.run(tool(order_id="O1")) == "O1"
    assert "request_hash" not in parts(run.finish("escalate", rationale="r"), 2)[0]
    assert "get_order answered a coroutine, which JSON cannot carry" in caplog.text


@pytest.mark.parametrize("tool", ["get_order", "ask_analyst"])
@pytest.mark.parametrize("response", [{"id": 2**60}, {7: "a"}])
def test_an_answer_that_is_json_but_not_canonical_is_recorded(tool: str, response: Any) -> None:
    run = recorder()
    run.user("Decide.")
    assert run.tools({tool: lambda **_: response})[tool](order_id="O1") is response
    (part,) = parts(run.finish("escalate", rationale="r"), 2)
    assert part["response_json"] == json.dumps(response)


def test_arguments_that_json_cannot_carry_are_refused_before_the_tool_is_called() -> None:
    called = []
    run = recorder()
    with pytest.raises(NotCanonical, match="pass a text"):
        run.tools({"pay_refund": lambda **arguments: called.append(arguments)})["pay_refund"](order_id=2**60)
    assert called == []


def test_a_call_without_an_answer_is_an_error_that_no_replay_takes_for_the_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = recorder()
    run.user("Decide.")
    run.model(call("get_order", {"order_id": "O1"}))
    with caplog.at_level(logging.WARNING):
        (part,) = parts(run.finish("escalate", rationale="r"), 2)
    assert part["error"] == "no answer was recorded"
    assert "request_hash" not in part
    assert "get_order was not answered" in caplog.text


def test_a_tool_that_the_spec_does_not_know_has_no_effect_and_no_hash() -> None:
    run = recorder()
    run.user("Decide.")
    run.model(call("get_weather", {}))
    run.failed("get_weather", {}, "there is no tool 'get_weather'")
    (part,) = parts(run.finish("escalate", rationale="r"), 2)
    assert part.keys() == {"kind", "tool", "error", "answered_by"}


def test_usage_and_cost_add_up_over_sub_agents_and_stay_absent_where_unknown() -> None:
    run = recorder()
    run.user("Decide.")
    run.model(call("ask_analyst", {}), usage=Usage(input_tokens=10, cost_micros=5, cost_currency="EUR"))
    analyst = run.sub_agent("analyst")
    analyst.user("Report.")
    analyst.model("Fine.", usage=Usage(input_tokens=3, cost_micros=2, cost_currency="EUR"))
    run.answered("ask_analyst", {}, {"finding": "Fine."})
    run.model("Escalate.")
    made = run.finish("escalate", rationale="r")
    (kept,) = made["sub_agent_runs"]
    assert (kept["run_id"], kept["usage"]["input_tokens"]) == ("analyst-1", 3)
    assert made["usage"] == {
        "input_tokens": 13,
        "model_calls": 3,
        "tool_calls": 1,
        "cost_micros": 7,
        "cost_currency": "EUR",
    }
    (found,) = parts(made, 2)
    assert found == {
        "kind": "function_response",
        "tool": "ask_analyst",
        "effect": "read",
        "response_json": '{"finding":"Fine."}',
    }


def test_two_currencies_are_refused() -> None:
    run = recorder()
    run.model("a", usage=Usage(cost_micros=1, cost_currency="EUR"))
    with pytest.raises(ValueError, match="paid in one currency: EUR, not also USD"):
        run.model("b", usage=Usage(cost_micros=1, cost_currency="USD"))


def test_a_snapshot_call_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    run = recorder()
    run.take_snapshot({"get_order": lambda order_id, fields: {"id": order_id, "fields": fields}})
    run.take_snapshot({})
    (entry,) = run.finish("escalate", rationale="r")["snapshot"]
    assert entry["arguments_json"] == '{"fields":["paid"],"order_id":"O1"}'
    assert entry["request_hash"] == request_hash("get_order", {"order_id": "O1", "fields": ["paid"]})
    assert "the snapshot call of get_order failed (KeyError)" in caplog.text


@pytest.mark.parametrize(
    ("action", "arguments", "said"),
    [
        ("pay", {}, "action 'pay' is none of refund, escalate"),
        ("refund", {}, r"action 'refund' takes \['amount_minor'\], not \[\]"),
        ("escalate", {"why": 1}, r"action 'escalate' takes \[\], not \['why'\]"),
    ],
)
def test_an_action_that_the_spec_does_not_name_is_refused(action: str, arguments: Any, said: str) -> None:
    with pytest.raises(AgentError, match=said):
        recorder().finish(action, rationale="r", arguments=arguments)


def test_an_input_without_the_segments_field_is_told_at_the_beginning() -> None:
    with pytest.raises(AgentError, match=r"the segment rule '\{currency\}' needs 'currency' of the input"):
        recorder(input={"order_id": "O1"})


def test_times_are_utc_milliseconds_and_need_a_zone() -> None:
    at = datetime(2026, 3, 10, 11, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    made = recorder().finish("escalate", rationale="r", decided_at=at)
    assert made["decided_at"].isoformat() == "2026-03-10T10:00:00.999000+00:00"
    with pytest.raises(ValueError, match="has no time zone"):
        recorder().finish("escalate", rationale="r", decided_at=datetime(2026, 3, 10))


def test_a_recorder_may_be_finished_twice_and_gives_the_same() -> None:
    run = recorder()
    run.user("Decide.")
    run.model(text("Escalate."), log_probabilities=[("Es", -0.5), ("calate", float("-inf"))])
    assert run.finish("escalate", rationale="r") == run.finish("escalate", rationale="r")
    assert '"log_probability": "-Infinity"' in run.finish("escalate", rationale="r").to_json()


def test_a_field_of_a_wrong_type_is_told() -> None:
    made = recorder(model=7).finish("escalate", rationale="r")
    with pytest.raises(ValueError, match="decision 'd1' cannot be written"):
        made.to_avro()


def test_an_agent_is_read_from_what_export_wrote(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({"spec": SPEC, "system_prompt": "You decide.", "toolset": AGENT.toolset}))
    assert Agent.read(file).artifacts() == AGENT.artifacts()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no agent .FileNotFoundError.*opoi agent export"),
        ("[]", "is no agent .TypeError"),
        ("{", "is no agent .JSONDecodeError"),
        (
            '{"spec": {"name": "a"}, "system_prompt": "", "toolset": []}',
            "lacks actions, segment, snapshot, tools",
        ),
    ],
)
def test_what_is_no_agent_is_told_in_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "agent.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(AgentError, match=said) as told:
        Agent.read(file)
    assert "\n" not in str(told.value)
