"""A replay over HTTP gives what the same replay gives in this process."""

import pytest

from agent.fakes import call, decision_text, says
from agent.http.client import AgentAway
from agent.media_buyer.definition import media_buyer
from agent.oracle import nonce, render
from agent.ports import ModelAway
from agent.replay import execute
from schemas.log_events import SERVICE_RUN_FAILED
from schemas.records import Action, AgentDecision, AgentTrace, ExpertVerdict
from tests.unit.agent.conftest import CAMPAIGN, DECIDED_AT, raises_budget, reads
from tests.unit.agent.http.http_kit import Known, media_buyer_service, replay_at, replay_request, scripted

NOT_COMPARED = {"started_at", "finished_at", "target"}


@pytest.fixture
def oracle() -> str:
    verdict = ExpertVerdict(
        agent="media-buyer", account_id="a", decision_id="d1", verdict_id="v1", expert="e", kind="correct",
        corrected_action=Action(name="hold", target=CAMPAIGN), rationale="CPA.", given_at=DECIDED_AT,
    )  # fmt: skip
    return render(media_buyer().spec, verdict, 2, nonce(b"secret", "r-1"))


def compared(trace: AgentTrace) -> dict[str, object]:
    return trace.model_dump(exclude=NOT_COMPARED)


def test_a_replay_over_http_is_the_replay_in_this_process(decision: AgentDecision) -> None:
    request = replay_request(decision)
    here = execute(request, decision, Known(), scripted(*raises_budget()))
    with media_buyer_service(scripted(*raises_budget())) as url:
        there = replay_at(url, decision, request)
    assert (there.status, there.reason) == ("completed", None)
    assert compared(there) == compared(here)
    assert there.target == request.target.model_copy(update={"endpoint": url})
    answers = [part for turn in there.turns for part in turn.parts if part.kind == "function_response"]
    assert [part.answered_by for part in answers] == ["recording", "recording", "simulated"]


def test_the_oracle_is_one_marked_part_over_http_too(decision: AgentDecision, oracle: str) -> None:
    request = replay_request(decision, "opoi", oracle=oracle)
    replies = reads(), says(decision_text("hold", CAMPAIGN))
    model = scripted(*replies)
    with media_buyer_service(model) as url:
        there = replay_at(url, decision, request)
    assert compared(there) == compared(execute(request, decision, Known(), scripted(*replies)))
    first = model.requests[0].contents[0].turn
    assert [part.is_oracle for part in first.parts] == [False, True]
    assert first.parts[1].text == oracle


@pytest.mark.parametrize("config", ["{", "[]", '{"a":"\\ud800"}'])
def test_an_odd_request_is_a_trace_that_says_so(decision: AgentDecision, config: str) -> None:
    asked = replay_request(decision)
    target = asked.target.model_copy(update={"generation_config_json": config})
    with media_buyer_service(scripted()) as url:
        trace = replay_at(url, decision, asked.model_copy(update={"target": target}))
        assert (trace.status, (trace.reason or "").partition(":")[0]) == ("failed", "config_broken")
        odd = decision.model_copy(update={"input_json": config[:1]})
        trace = replay_at(url, odd, asked)
    assert (trace.status, (trace.reason or "").partition(":")[0]) == ("failed", "decision_broken")


def test_a_run_that_ends_among_its_calls_tells_of_those_before(decision: AgentDecision) -> None:
    wrong = call("set_status", campaign_id=CAMPAIGN, status="PAUSED")
    replies = (says(call("get_campaign", campaign_id=CAMPAIGN), wrong),)
    request = replay_request(decision)
    with media_buyer_service(scripted(*replies)) as url:
        there = replay_at(url, decision, request)
    assert (there.status, (there.reason or "").partition(":")[0]) == ("invalid", "write_differs")
    assert compared(there) == compared(execute(request, decision, Known(), scripted(*replies)))


def test_supersets_and_misses_are_told_apart_over_http(decision: AgentDecision) -> None:
    yesterday = call("get_insights", entity_id=CAMPAIGN, date_preset="yesterday", fields=["spend"])
    other = call("get_insights", entity_id="act_9", date_preset="yesterday", fields=["spend"])
    replies = says(yesterday, other, yesterday), says(decision_text("hold", CAMPAIGN))
    with media_buyer_service(scripted(*replies)) as url:
        trace = replay_at(url, decision)
    assert [part.answered_by for part in trace.turns[2].parts] == ["superset", "miss", "superset"]
    assert (trace.status, trace.misses, trace.usage.tool_calls) == ("completed", 1, 3)


def test_an_unknown_tool_is_the_agents_own_error(decision: AgentDecision) -> None:
    replies = says(call("launch_rocket", to="moon")), says(decision_text("hold", CAMPAIGN))
    with media_buyer_service(scripted(*replies)) as url:
        trace = replay_at(url, decision)
    assert trace.status == "completed"
    assert "there is no tool 'launch_rocket'" in (trace.turns[2].parts[0].error or "")


def test_nobody_there_is_away_and_leaves_no_trace(decision: AgentDecision) -> None:
    with media_buyer_service(scripted()) as url:
        pass
    with pytest.raises(AgentAway, match="cannot be reached"):
        replay_at(url, decision)


def test_another_version_than_is_served_says_so(decision: AgentDecision) -> None:
    request = replay_request(decision)
    target = request.target.model_copy(update={"agent_version": "0.9"})
    with media_buyer_service(scripted()) as url:
        trace = replay_at(url, decision, request.model_copy(update={"target": target}))
    assert trace.status == "version_skew"
    assert trace.reason is not None
    assert trace.reason.startswith("version_skew: the agent answers 409")
    assert "agent_version" in trace.reason


def test_a_fault_of_the_service_is_a_failed_run_and_leaks_nothing(
    decision: AgentDecision, capsys: pytest.CaptureFixture[str]
) -> None:
    with media_buyer_service(scripted(RuntimeError("sesame"))) as url:
        trace = replay_at(url, decision)
    assert (trace.status, trace.reason) == ("failed", "service: RuntimeError")
    said = "".join(capsys.readouterr())
    assert SERVICE_RUN_FAILED.text in said
    for secret in ("sesame", "tools_token", media_buyer().system_prompt[:40]):
        assert secret not in said


def test_a_service_whose_model_is_away_is_away(decision: AgentDecision) -> None:
    with (
        media_buyer_service(scripted(ModelAway("no answer"))) as url,
        pytest.raises(AgentAway, match="lacks a service that it needs: away: ModelAway: no answer"),
    ):
        replay_at(url, decision)
