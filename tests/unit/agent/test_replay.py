"""Replays: which agent runs, with what, and what becomes of a request that cannot be run."""

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.fakes import ScriptedModel, call, decision_text, says, text
from agent.media_buyer.definition import media_buyer
from agent.oracle import nonce, render
from agent.ports import ModelAway, ModelGone, QuotaExceeded
from agent.replay import execute
from agent.runtime import Runtime, turn_seed
from schemas.codec import record_type
from schemas.records import Action, ExpertVerdict, SnapshotEntry
from tests.unit.agent.conftest import CAMPAIGN, DECIDED_AT, raises_budget, reads
from tests.unit.agent.http.http_kit import CONTENTS, Known, replay_request

NOW = DECIDED_AT + timedelta(days=1)


@pytest.fixture
def oracle():
    verdict = ExpertVerdict(
        agent="media-buyer", account_id="a", decision_id="d1", verdict_id="v1", expert="e", kind="correct",
        corrected_action=Action(name="hold", target=CAMPAIGN), rationale="CPA yesterday.", given_at=NOW,
    )  # fmt: skip
    return render(media_buyer().spec, verdict, 2, nonce(b"secret", "r-1"))


@pytest.fixture
def request_of(decision):
    """A request of one arm."""
    return partial(replay_request, decision, now=NOW)


def run(request, decision, *replies, contents=CONTENTS, now=NOW):
    model = ScriptedModel(replies)
    return execute(request, decision, Known(contents), model, now=lambda: now), model


def test_an_unhinted_run_asks_what_production_asked(request_of, decision):
    trace, model = run(request_of(), decision, *raises_budget())
    assert (trace.status, trace.reason, trace.misses) == ("completed", None, 0)
    assert trace.action == decision.action
    assert [write.tool for write in trace.intended_writes] == ["set_daily_budget"]
    asked = model.requests[0]
    assert asked.contents[0].turn == decision.turns[0]
    assert asked.system == media_buyer().system_prompt
    assert asked.declarations == media_buyer().declarations
    assert (asked.model, asked.seed) == ("tuned", turn_seed("r-1", 0))
    answers = [part for turn in trace.turns for part in turn.parts if part.kind == "function_response"]
    assert [part.answered_by for part in answers] == ["recording", "recording", "simulated"]


def test_a_hinted_run_differs_by_one_marked_part(request_of, decision, oracle):
    trace, model = run(
        request_of("opoi", oracle=oracle), decision, reads(), says(decision_text("hold", CAMPAIGN))
    )
    first = model.requests[0].contents[0].turn
    assert [part.is_oracle for part in first.parts] == [False, True]
    assert first.parts[:1] == decision.turns[0].parts
    assert first.parts[1].text == oracle
    assert trace.turns[0] == first
    assert trace.action.name == "hold"


def test_a_call_that_was_never_made_is_answered_from_what_was_recorded_or_missed(request_of, decision):
    yesterday = call("get_insights", entity_id=CAMPAIGN, date_preset="yesterday", fields=["spend"])
    other = call("get_insights", entity_id="act_9", date_preset="yesterday", fields=["spend"])
    trace, _ = run(request_of(), decision, says(yesterday, other), says(decision_text("hold", CAMPAIGN)))
    answers = trace.turns[2].parts
    assert [part.answered_by for part in answers] == ["superset", "miss"]
    assert trace.misses == 1
    assert trace.status == "completed"


def test_the_trace_is_a_record_that_comes_back_from_the_wire(request_of, decision):
    trace, _ = run(request_of(), decision, *raises_budget())
    assert record_type("AgentTrace").model_validate(trace.to_avro()) == trace


def test_a_request_that_contradicts_itself_says_so(request_of, decision, oracle):
    trace, _ = run(request_of("opoi"), decision)
    assert trace.reason.startswith("oracle_missing:")
    trace, _ = run(request_of(oracle=oracle), decision)
    assert trace.reason.startswith("oracle_unexpected:")


def test_an_agent_that_is_no_longer_known_says_which_part(request_of, decision):
    for artifact_id in CONTENTS:
        left = {key: value for key, value in CONTENTS.items() if key != artifact_id}
        trace, _ = run(request_of(), decision, contents=left)
        assert trace.status == "version_skew"
        assert trace.reason.startswith("artifact_missing: no ")
        assert artifact_id in trace.reason
    trace, _ = run(request_of(), decision, contents=dict.fromkeys(CONTENTS, b"{}"))
    assert trace.reason.startswith("artifact_broken: the system prompt")


def test_a_model_that_is_gone_says_so(request_of, decision):
    trace, _ = run(request_of(), decision, ModelGone("model 'tuned' answered 404 NOT_FOUND", code=404))
    assert trace.status == "version_skew"
    assert trace.reason == "model_gone: model 'tuned' answered 404 NOT_FOUND"


def test_other_requests_that_cannot_be_run(request_of, decision):
    target = request_of().target
    changed = target.model_copy(update={"generation_config_json": '{"temprature":1}'})
    assert run(request_of(target=changed), decision)[0].reason.startswith("config_broken:")
    changed = target.model_copy(update={"endpoint": "https://agent.example"})
    assert run(request_of(target=changed), decision)[0].reason.startswith("unsupported_endpoint:")
    empty = decision.model_copy(update={"turns": ()})
    assert run(request_of(), empty)[0].reason.startswith("decision_broken:")


DEEP = "[" * 100_000
NO_JSON = ["", "{", DEEP, "1" * 10_000, '{"a":1e400}', '{"a":"\\ud800"}']
UNUSABLE = "the arguments of {} cannot be used:"
NO_OBJECT = UNUSABLE + " it must be an object, not"


def with_arguments(decision, arguments):
    """The decision with other arguments of its first call, of which there is an answer."""
    question, asked, *rest = decision.turns
    call, *others = asked.parts
    odd = call.model_copy(update={"arguments_json": arguments})
    asked = asked.model_copy(update={"parts": (odd, *others)})
    return decision.model_copy(update={"turns": (question, asked, *rest)})


def with_snapshot(decision, arguments):
    entry = SnapshotEntry(
        tool="get_ads", arguments_json=arguments, request_hash="h", response_json="{}", fetched_at=NOW
    )
    return decision.model_copy(update={"snapshot": (entry,)})


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        *[
            (lambda one, zone=zone: one.model_copy(update={"account_time_zone": zone}), "is no IANA name")
            for zone in ("Berlin", "", "Europe", "../etc/passwd", "x" * 5000)
        ],
        *[
            (lambda one, text=text: one.model_copy(update={"input_json": text}), "input_json cannot")
            for text in NO_JSON
        ],
        *[
            (lambda one, text=text: with_arguments(one, text), "of get_insights cannot")
            for text in NO_JSON[1:]
        ],
        (lambda one: with_arguments(one, "[]"), NO_OBJECT.format("get_insights")),
        (lambda one: with_snapshot(one, "{"), f"{UNUSABLE.format('get_ads')} Expecting"),
        (lambda one: with_snapshot(one, "7"), NO_OBJECT.format("get_ads")),
    ],
)  # fmt: skip
def test_an_odd_decision_is_a_trace_that_says_so(request_of, decision, change, shown):
    trace, _ = run(request_of(), change(decision), *raises_budget())
    assert (trace.status, (trace.reason or "").partition(":")[0]) == ("failed", "decision_broken")
    assert shown in trace.reason
    assert len(trace.reason) < 500


def test_an_input_that_is_no_object_has_no_values(request_of, decision):
    odd = decision.model_copy(update={"input_json": "[7]"})
    trace, _ = run(request_of(), odd, *raises_budget())
    assert trace.status == "completed"


@pytest.mark.parametrize("arguments", ["{", DEEP])
def test_the_corrector_of_an_odd_action_is_a_trace_that_says_so(request_of, decision, arguments):
    odd = decision.action.model_copy(update={"arguments_json": arguments})
    corrected = Action(name="hold", target=CAMPAIGN)
    for ours, theirs in ((odd, corrected), (decision.action, odd)):
        verdict = ExpertVerdict(
            agent="a", account_id="a", decision_id="d1", verdict_id="v1", expert="e", kind="correct",
            corrected_action=theirs, given_at=NOW,
        )  # fmt: skip
        silent = decision.model_copy(update={"turns": decision.turns[:1], "action": ours})
        trace, _ = run(request_of("corrector_sft", strength=0, verdict=verdict), silent, *raises_budget())
        assert (trace.status, (trace.reason or "").partition(":")[0]) == ("failed", "action_broken")


texts = st.text(max_size=30) | st.sampled_from([*NO_JSON, "{}", "[]", '{"campaign_id":1}', "null"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=30) | st.sampled_from(["Europe/Berlin", "", "UTC"]), texts, texts, texts)
def test_whatever_a_record_holds_its_replay_is_a_trace(request_of, decision, zone, asked, call, entry):
    odd = decision.model_copy(update={"account_time_zone": zone, "input_json": asked})
    odd = with_snapshot(with_arguments(odd, call), entry)
    # refused twice where the input is about another campaign
    trace, _ = run(request_of(), odd, reads(), *[says(decision_text("hold", CAMPAIGN))] * 3)
    assert trace.status in ("completed", "failed", "invalid")
    assert (trace.reason is None) == (trace.status == "completed")


def test_a_request_past_its_deadline_is_not_run(request_of, decision):
    trace, _ = run(request_of(), decision, now=NOW + timedelta(hours=1))
    assert trace.status == "exhausted"
    assert trace.reason.startswith("deadline:")


@pytest.mark.parametrize("error", [ModelAway("away"), QuotaExceeded("quota")])
def test_a_model_that_is_away_leaves_no_trace(request_of, decision, error):
    with pytest.raises(type(error)):
        run(request_of(), decision, reads(), error)


def test_a_replay_opens_no_socket_of_its_own(request_of, decision, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a replay opened a socket")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    trace, _ = run(request_of(), decision, *raises_budget())
    assert trace.status == "completed"


def test_a_replay_keeps_the_bounds_that_the_docs_tell(request_of, decision, monkeypatch):
    kept = []
    run_it = Runtime.run
    monkeypatch.setattr(
        Runtime, "run", lambda self, *a, **k: kept.append(self.limits) or run_it(self, *a, **k)
    )
    run(request_of(), decision, *raises_budget())
    [limits] = kept
    told = " ".join((Path(__file__).parents[3] / "docs/for-agent-teams.md").read_text().split())
    assert f"decision ({limits.max_corrections})" in told
    assert f"a tool may take ({limits.tool_seconds:g} s)" in told
    assert f"may be ({limits.max_response_bytes // 1024} KiB)" in told


def test_many_replays_side_by_side_do_not_touch_each_other(request_of, decision):
    def one(number):
        budget = 14400 + number
        trace, _ = run(request_of(replay_id=f"r-{number}"), decision, *raises_budget(budget))
        return trace.intended_writes[0].arguments_json

    with ThreadPoolExecutor(8) as pool:
        writes = list(pool.map(one, range(64)))
    assert writes == [
        f'{{"campaign_id":"{CAMPAIGN}","daily_budget":{14400 + number}}}' for number in range(64)
    ]


def test_words_after_the_write_are_not_needed_for_a_decision(request_of, decision):
    trace, _ = run(request_of(), decision, *raises_budget()[:2], says(text("")))
    assert trace.status == "completed"
