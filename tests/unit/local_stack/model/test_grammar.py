"""Form is constrained, content is not: every turn is whole, and the constraint leaves the choice free."""

import random
from typing import Any

import numpy as np
import pytest

from local_stack.model.answers import stream
from local_stack.model.embedding import embed
from local_stack.model.grammar import CHOOSING, HIGH, LOW, MAXIMUM_SENTENCES, fill_allowed
from local_stack.model.rendering import render
from local_stack.model.sampling import Sampling, generate, stream_of
from local_stack.model.vocabulary import ID, KIND, NAMES, SIZE, STEP, STOP, bit
from local_stack.model.weights import Weights
from testkit.local_model import drawn_figures, talk


def test_the_wildest_text_still_has_the_form_of_a_decision(base: Weights) -> None:
    for seed in range(40):
        run = talk(base, drawn_figures(random.Random(seed)), seed=seed, temperature=50.0)
        assert list(run.decision) == ["rationale", "cited_metrics", "action"]
        arguments = run.decision["action"]["arguments"]
        knows_budget = any(call["name"] == "get_campaign" for call in run.calls)
        scales = run.decision["action"]["name"].startswith("scale")
        assert bool(arguments) == (scales and knows_budget)
        for turn in run.turns:
            assert sum(KIND[token] == STOP for token in turn.tokens) <= MAXIMUM_SENTENCES
            assert turn.stopped


@pytest.mark.parametrize(("name", "sign"), [("scale_up", 1), ("scale_down", -1)])
def test_steps_have_the_sign_of_the_action(name: str, sign: int) -> None:
    history = np.array([ID[name]], np.int16)
    allowed = np.zeros(SIZE, np.bool_)
    steps = sum(bit(step) for step, kind in zip(NAMES, KIND, strict=True) if kind == STEP)
    assert fill_allowed(CHOOSING, history, 0, 1, 0, 0, steps, allowed) == 8
    offered = [NAMES[token] for token in range(LOW[CHOOSING], HIGH[CHOOSING]) if allowed[token]]
    assert all(step.startswith(f"step{'+' if sign > 0 else '-'}") for step in offered if step[4] in "+-")


def test_top_k_and_top_p_narrow_the_draw(base: Weights) -> None:
    conversation = talk(base, seed=1).conversation()
    conversation.turns.clear()
    conversation.closing = False

    def drawn(**limits: float) -> set[tuple[int, ...]]:
        found = set()
        for seed in range(30):
            sampling = Sampling(temperature=2.0, seed=seed, **limits)  # type: ignore[arg-type]
            found.add(tuple(generate(base, conversation, sampling, stream_of(seed, conversation)).tokens))
        return found

    greedy = generate(base, conversation, Sampling(temperature=0.0), stream_of(0, conversation)).tokens
    assert drawn(top_k=1) == {tuple(greedy)}
    assert drawn(top_p=0.0001) == {tuple(greedy)}
    assert len(drawn()) > len(drawn(top_p=0.3))


def test_a_cut_turn_is_a_beginning(base: Weights) -> None:
    run = talk(base, seed=4)
    run.contents = run.contents[:3]
    conversation = run.conversation()
    whole = generate(base, conversation, Sampling(seed=4), stream_of(4, conversation))
    cut = generate(base, conversation, Sampling(seed=4, maximum_tokens=6), stream_of(4, conversation))
    assert cut.tokens == whole.tokens[:6]
    assert cut.scores == whole.scores[:6]
    assert not cut.stopped
    text = render(whole.tokens, conversation.facts).parts[0]["text"]
    assert text.startswith(render(cut.tokens, conversation.facts).parts[0]["text"])


def test_a_stream_is_the_answer_in_pieces() -> None:
    parts: list[dict[str, Any]] = [{"text": " ".join(map(str, range(50)))}, {"functionCall": {"name": "one"}}]
    whole: dict[str, Any] = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {"totalTokenCount": 1},
        "modelVersion": "a",
        "responseId": "b",
    }
    pieces = list(stream(whole))
    found = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    assert "".join(part.get("text", "") for part in found) == " ".join(map(str, range(50)))
    assert found[-1] == parts[1]
    last = ["finishReason" in piece["candidates"][0] for piece in pieces]
    assert last == [False] * (len(pieces) - 1) + [True]


def test_an_embedding_is_a_unit_vector_of_the_words() -> None:
    assert embed("the same words") == embed("The same words")
    assert sum(value * value for value in embed("some words", 32)) == pytest.approx(1.0)
    assert embed("", 8) == [0.0] * 8
