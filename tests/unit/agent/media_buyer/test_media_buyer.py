"""The media buyer's contents: their hashes, and that prompt, tools and spec agree with one another."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from agent.decision import read_decision
from agent.fakes import says, text
from agent.media_buyer import tools as live
from agent.media_buyer.definition import DecisionRequest, artifacts, media_buyer
from agent.recorder import NotADecision, record
from schemas.identity import sha256
from tests.unit.agent.conftest import CAMPAIGN, DECIDED_AT, raises_budget

GOLDEN = Path(__file__).parents[3] / "golden" / "media_buyer.json"
AGENT = media_buyer()
ARGUMENTS = {
    "get_insights": live.GetInsights,
    "get_breakdown": live.GetBreakdown,
    "get_account": live.GetAccount,
    "get_campaign": live.OfCampaign,
    "get_ad_sets": live.OfCampaign,
    "get_ads": live.OfCampaign,
    "get_change_history": live.GetChangeHistory,
    "set_daily_budget": live.SetDailyBudget,
    "set_status": live.SetStatus,
}


def test_the_contents_are_those_of_this_version():
    """A change here is a new version of the agent: raise `version` in spec.yaml, then write the file anew."""
    found = {
        "version": AGENT.spec.version,
        "prompt_id": AGENT.prompt_id,
        "toolset_id": AGENT.toolset_id,
        "spec_id": AGENT.spec.spec_id,
    }
    assert found == json.loads(GOLDEN.read_text())


def test_artifacts_are_named_by_their_content():
    made = artifacts(AGENT, DECIDED_AT)
    assert [one.kind for one in made] == ["system_prompt", "toolset", "agent_spec"]
    # `max.message.bytes` of agent.artifacts is 4 MiB; what is far below it needs no second thought
    assert all(len(one.content) < 256 * 1024 for one in made)
    assert [one.artifact_id for one in made] == [AGENT.prompt_id, AGENT.toolset_id, AGENT.spec.spec_id]
    assert all(sha256(one.content) == one.artifact_id for one in made)


def test_the_prompt_begins_as_the_media_buyer_and_keeps_its_sections_in_order():
    assert AGENT.system_prompt.startswith("You are the media buyer")
    sections = [int(number) for number in re.findall(r"^# (\d+)\. ", AGENT.system_prompt, re.MULTILINE)]
    assert sections == list(range(1, len(sections) + 1))


def test_every_action_tool_metric_and_window_is_in_the_prompt():
    named = [*AGENT.spec.actions, *AGENT.spec.tools, *AGENT.spec.terms.metrics, *AGENT.spec.terms.windows]
    assert [name for name in named if f"`{name}`" not in AGENT.system_prompt] == []


def test_the_prompt_has_no_line_twice():
    """Blank lines and the rules of tables apart: nothing is there only to make it longer."""
    for prompt in (AGENT.system_prompt, *(own.prompt for own in AGENT.spec.sub_agents.values())):
        lines = [line for line in prompt.splitlines() if re.search(r"\w", line)]
        assert [line for line, count in Counter(lines).items() if count > 1] == []
        assert "{{" not in prompt


def test_sections_that_the_prompt_points_to_exist():
    headings = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", AGENT.system_prompt, re.MULTILINE))
    pointed = re.findall(r"[Ss]ections? (\d+(?:\.\d+)?)", AGENT.system_prompt)
    assert pointed
    assert [number for number in pointed if number not in headings] == []


def worked_examples():
    return [line for line in AGENT.system_prompt.splitlines() if line.startswith('{"rationale"')]


def test_there_is_a_worked_example_of_every_action():
    names = {json.loads(line)["action"]["name"] for line in worked_examples()}
    assert names == set(AGENT.spec.actions)


@pytest.mark.parametrize("line", worked_examples())
def test_each_worked_example_keeps_the_contract_that_it_teaches(line):
    decided = read_decision(AGENT.spec, line)
    assert list(json.loads(line)) == ["rationale", "cited_metrics", "action"]
    for cited in decided.cited_metrics:
        assert cited.metric in AGENT.spec.terms.metrics
        assert cited.window in AGENT.spec.terms.windows
        shown = f"{cited.value:.0f}" if cited.metric == "conversions" else f"{cited.value:.2f}"
        assert shown in decided.rationale


def test_the_examples_ratios_are_right():
    """Each `a / b = c` of the examples is a true division, to two decimals."""
    examples = AGENT.system_prompt[AGENT.system_prompt.index("# 17. ") :]
    found = re.findall(r"(\d+\.?\d*) / (\d+\.?\d*) = (\d+\.\d\d)", examples)
    assert len(found) >= 20
    for above, below, quotient in found:
        assert f"{float(above) / float(below):.2f}" == quotient


def test_declarations_and_live_arguments_agree():
    of_analysts = [one for own in AGENT.spec.sub_agents.values() for one in own.declarations]
    declarations = {one["name"]: one for one in (*AGENT.declarations, *of_analysts)}
    assert declarations.keys() == AGENT.spec.tools.keys()
    answered = {name for name, tool in AGENT.spec.tools.items() if tool.sub_agent is None}
    assert answered == ARGUMENTS.keys()
    for name in answered:
        declaration = declarations[name]
        schema = ARGUMENTS[name].model_json_schema()
        declared = declaration["parameters"]
        assert declared["properties"].keys() == schema["properties"].keys()
        assert sorted(declared["required"]) == sorted(schema["required"])


def test_the_request_is_the_line_and_the_json_that_the_prompt_describes(asked):
    first, blank, body = asked.turn().parts[0].text.split("\n")
    assert first == f"Decide on campaign {CAMPAIGN} of account act_100000511926228 for 2026-03-10."
    assert blank == ""
    assert json.loads(body) == {
        "account_id": "act_100000511926228",
        "campaign_id": CAMPAIGN,
        "date": "2026-03-10",
        "time_zone": "America/New_York",
        "currency": "USD",
        "target_cpa_minor": 3200,
        "target_roas": 2.28,
    }
    assert DecisionRequest.model_validate_json(body) == asked


def test_a_decision_record_holds_what_a_replay_needs(agent, setting, run_script):
    run, _ = run_script(*raises_budget())
    made = record(agent, setting, run, decided_at=DECIDED_AT)
    assert (made.prompt_id, made.toolset_id, made.spec_id) == (
        agent.prompt_id,
        agent.toolset_id,
        agent.spec.spec_id,
    )
    assert made.segment == "USD/America/New_York"
    assert made.generation_config_json == '{"log_probabilities":true}'
    assert made.turns == run.turns
    assert (made.action.name, made.rationale) == ("scale_up", "CPA yesterday is on plan.")
    assert type(made).model_validate(made.to_avro()) == made


def test_a_run_without_a_decision_is_no_record(agent, setting, run_script):
    run, _ = run_script(says(text("Wait.")))
    with pytest.raises(NotADecision, match="invalid: no_decision"):
        record(agent, setting, run, decided_at=DECIDED_AT)


def test_a_run_that_wrote_and_then_broke_is_recorded(agent, setting, run_script):
    run, _ = run_script(*raises_budget()[:2], says(text("Do"), finish_reason="MAX_TOKENS"))
    assert run.status == "exhausted"
    made = record(agent, setting, run, decided_at=DECIDED_AT)
    assert (made.action.name, made.finish_reason) == ("scale_up", "MAX_TOKENS")
