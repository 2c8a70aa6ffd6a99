"""The analysts' voice: what it reads, what it finds, and that it leaves the agent's rows alone."""

import json
import random
from typing import Any

import numpy as np
import pytest

from agent.media_buyer.definition import media_buyer
from agent.sub_agents import question, read_finding
from local_stack.model.corpus import join
from local_stack.model.features import AGENT_ROWS
from local_stack.model.rendering import render
from local_stack.model.sampling import Sampling, generate, stream_of
from local_stack.model.weights import Weights, fork
from schemas.records import Part, Turn
from testkit.local_model import Figures, drawn_figures, read

SPEC = media_buyer().spec
VALUES = {
    "account_id": "act_7",
    "campaign_id": "120200000000000010",
    "date": "2026-03-10",
    "currency": "USD",
    "target_cpa_minor": 2000,
    "target_roas": 2.0,
    "time_zone": "UTC",
}
GETTING_BETTER = Figures(purchases=(4, 4, 4, 4, 4, 4, 9))
GETTING_WORSE = Figures(purchases=(6, 6, 6, 6, 6, 6, 2))
STEADY = Figures(purchases=(5,) * 7)


def reported(
    base: Weights, figures: Figures, *, name: str = "performance_analyst", seed: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """An analyst's finding, its contents and its calls."""
    own = SPEC.sub_agents[name]
    focus = own.arguments["focus"].values[0]
    first = question(own, {"window": "last_7d", "focus": focus}, VALUES).parts[0].text
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": first}]}]
    calls: list[dict[str, Any]] = []
    for _ in range(own.max_turns):
        body = {
            "contents": contents,
            "systemInstruction": {"parts": [{"text": own.prompt}]},
            "tools": [{"functionDeclarations": list(own.declarations)}],
        }
        conversation = read(body)
        turn = generate(base, conversation, Sampling(0.5, seed=seed), stream_of(seed, conversation))
        parts = render(turn.tokens, conversation.facts).parts
        contents.append({"role": "model", "parts": parts})
        assert read(body | {"contents": contents}).turns[-1].tokens == turn.tokens
        made = [part["functionCall"] for part in parts if "functionCall" in part]
        calls += made
        if not made:
            return json.loads(parts[0]["text"]), contents, calls
        answers = [
            {"functionResponse": {"name": one["name"], "response": _answer(figures, one)}} for one in made
        ]
        contents.append({"role": "user", "parts": answers})
    raise AssertionError(f"the analyst does not come to an end: {contents}")


def _answer(figures: Figures, call: dict[str, Any]) -> dict[str, Any]:
    whole = call["name"] != "get_insights" or not call["args"].get("level")
    return figures.answer(call) if whole else {"data": []}


@pytest.mark.parametrize("name", list(SPEC.sub_agents))
def test_a_finding_keeps_its_contract_and_reads_back(base: Weights, name: str) -> None:
    answered = tuple(
        Part(kind="function_response", tool=tool, response_json="{}")
        for tool in ("get_insights", "get_campaign")
    )
    own = SPEC.sub_agents[name]
    declared = {one["name"] for one in own.declarations}
    for seed in range(30):
        found, _, calls = reported(base, drawn_figures(random.Random(seed)), name=name, seed=seed)
        read_finding(SPEC, own, json.dumps(found), [Turn(role="user", parts=answered)])
        assert {call["name"] for call in calls} <= declared
        assert "get_insights" in {call["name"] for call in calls}


def test_the_trend_follows_the_figures(base: Weights) -> None:
    for figures, trend in ((GETTING_BETTER, "up"), (GETTING_WORSE, "down"), (STEADY, "flat")):
        found = [reported(base, figures, seed=seed)[0]["trend"] for seed in range(30)]
        assert found.count(trend) >= 20, (trend, found)


def test_what_an_analyst_learns_changes_no_row_of_the_agent(base: Weights) -> None:
    _, contents, _ = reported(base, STEADY)
    body = {
        "contents": contents,
        "systemInstruction": {"parts": [{"text": SPEC.sub_agents["performance_analyst"].prompt}]},
        "tools": [],
    }
    touched = np.flatnonzero(fork(base, join([read(body).trace])).overlay >= 0)
    assert len(touched) > 0
    assert touched.min() >= AGENT_ROWS
