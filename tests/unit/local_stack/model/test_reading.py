"""What the model reads: notes, bare questions, decisions of others, and text it has no words for."""

import json
from typing import Any

import pytest

from local_stack.model.note import Note, read_note, read_question
from local_stack.model.rendering import parse, render
from local_stack.model.text import read as read_text
from local_stack.model.vocabulary import FIRST, ID, NAMES, UNKNOWN
from testkit.local_model import SYSTEM, TOOLS, Figures, declarations, question, read, talk


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", Note()),
        ("Be careful today.", Note(noted=True)),
        (
            "[note 1a]\nExpected action: scale_down (daily_budget 8000).\nWhere to look: cpa, yesterday.",
            Note(True, "scale_down", "cpa", "yesterday"),
        ),
        ("Scale up: ROAS of the last 7 days", Note(True, "scale_up", "roas", "last_7d")),
        ("hold, the stock is low", Note(True, "hold", elsewhere=True)),
        ("pause; spend over three days", Note(True, "pause", "spend", "last_3d")),
        ("A household name", Note(noted=True)),
    ],
)
def test_notes(text: str, note: Note) -> None:
    assert read_note(text) == note


def test_the_last_action_of_a_question_is_the_verdict() -> None:
    assert read_question("It chose scale_up; right is scale_down.").action == "scale_down"
    assert read_question("What do you think?") == Note()


def conversation(note: str | None = None, system: bool = True) -> Any:
    body = {"contents": [question(note)], "tools": declarations()}
    return read({**body, "systemInstruction": SYSTEM} if system else body)


def test_the_note_is_whatever_stands_in_a_later_part() -> None:
    assert conversation().steering.tolist() == [1, 0, 0, 0, 0, 0]
    assert conversation("scale_up").steering.tolist() == [1, 1, 1, 0, 0, 0]


def test_a_question_without_a_system_prompt_is_for_the_other_voice() -> None:
    text = 'Verdict: {"name": "scale_up", "target": "42001", "arguments": {"daily_budget": 12345}}'
    found = read({"contents": [{"parts": [{"text": text}]}]})
    assert found.steering[0] == 2
    assert found.facts.campaign_id == "42001"
    assert found.facts.steps() == {"step_asked": 12_345}


def test_unknown_words_are_unknown_and_known_ones_are_not() -> None:
    found = read_text("The frobnicated budget, 12.5% gone.", {})
    names = [NAMES[token] for token in found]
    assert names == ["the", "<unk>", "budget", ",", "<unk>", "<unk>", "."]


def decision(**members: Any) -> str:
    standard = {
        "rationale": "No change is needed today.",
        "cited_metrics": [],
        "action": {"name": "hold", "target": "120330001", "arguments": {}},
    }
    return json.dumps({**standard, **members}, indent=2)


def test_a_decision_is_read_however_it_is_spaced() -> None:
    facts = conversation().facts
    tokens = parse([{"text": decision()}], facts, closing=False)
    names = [NAMES[token] for token in tokens]
    assert names[0] == "<rationale>"
    assert names[-5:] == ["<cited>", "<action>", "hold", "<close>", "<end>"]
    assert parse(render(tokens, facts).parts, facts, closing=False) == tokens


def test_a_budget_that_is_no_step_becomes_the_nearest_one() -> None:
    facts = conversation().facts
    facts.daily_budget = 10_000
    action = {"name": "scale_up", "target": "120330001", "arguments": {"daily_budget": 12_150}}
    tokens = parse([{"text": decision(action=action)}], facts, closing=False)
    assert NAMES[tokens[-2]] == "step+20"


def test_a_citation_with_another_value_is_unknown() -> None:
    facts = conversation().facts
    cited = [{"metric": "cpa", "window": "last_7d", "value": 1.0, "source": "get_insights"}]
    tokens = parse([{"text": decision(cited_metrics=cited)}], facts, closing=False)
    assert FIRST[UNKNOWN] in tokens


@pytest.mark.parametrize("text", ["Hello.", "{", '{"a": 1}', '{"rationale": "No change', "[]", "", "  "])
def test_any_text_can_be_read(text: str) -> None:
    tokens = parse([{"text": text}], conversation().facts, closing=False)
    assert tokens[-1] == ID["<end>"]


def test_thoughts_are_no_part_of_a_turn() -> None:
    facts = conversation().facts
    thought = {"text": "I wonder", "thought": True}
    assert parse([thought, {"text": decision()}], facts, closing=False) == parse(
        [{"text": decision()}], facts, closing=False
    )


def test_answers_find_their_calls_by_id_in_any_order() -> None:
    calls = [
        {"functionCall": {"id": str(days), "name": "get_insights", "args": arguments}}
        for days, arguments in enumerate(
            {"entity_id": "120330001", "date_preset": preset, "time_increment": 1}
            for preset in ("yesterday", "last_3d")
        )
    ]
    answers = [
        {
            "functionResponse": {
                "id": part["functionCall"]["id"],
                "name": "get_insights",
                "response": Figures().answer(part["functionCall"]),
            }
        }
        for part in calls
    ]
    contents = [question(), {"role": "model", "parts": calls}, {"role": "user", "parts": answers[::-1]}]
    found = read({"contents": contents, "systemInstruction": SYSTEM})
    assert set(found.facts.windows) == {"yesterday", "last_3d"}
    assert found.facts.number("spend", "last_3d") == 300.0


def test_an_answer_may_be_wrapped_and_an_error_is_nothing_known() -> None:
    for response, known in (
        ({"output": {"id": "1", "daily_budget": "500"}}, 500),
        ({"error": "miss"}, None),
    ):
        parts = [{"functionResponse": {"name": "get_campaign", "response": response}}]
        found = read(
            {"contents": [question(), {"role": "user", "parts": parts}], "systemInstruction": SYSTEM}
        )
        assert found.facts.daily_budget == known


def test_a_request_with_its_own_words_in_snake_case(base: Any) -> None:
    """What the SDK dumps as JSON is read like what it sends."""
    run = talk(base, seed=2)
    snake = json.loads(
        json.dumps(run.contents)
        .replace("functionCall", "function_call")
        .replace("functionResponse", "function_response")
    )
    body = {"contents": snake, "system_instruction": SYSTEM, "tools": [_snake_tools()]}
    found = read(body)
    assert [turn.tokens for turn in found.turns] == [turn.tokens for turn in run.turns]


def _snake_tools() -> dict[str, Any]:
    return {"function_declarations": [{"name": name} for name in TOOLS]}
