"""Sampled and re-scored log-probabilities are the same numbers, and tokens survive the way through text."""

import random

import numpy as np
import pytest

from local_stack.model.sampling import Sampling, generate, score_turns, stream_of
from local_stack.model.vocabulary import SIZE
from local_stack.model.weights import Weights
from testkit.local_model import Figures, drawn_figures, talk

NOTES = (None, "Expected action: scale_down.\nWhere to look: cpa, yesterday.", "pause: the stock is low")


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0, 8.0])
def test_what_was_sampled_is_what_is_scored(base: Weights, temperature: float) -> None:
    for seed in range(40):
        run = talk(
            base,
            drawn_figures(random.Random(seed)),
            seed=seed,
            note=NOTES[seed % 3],
            temperature=temperature,
        )
        conversation = run.conversation()
        scores = score_turns(base, [conversation])[0]
        assert [turn.tokens for turn in conversation.turns] == [turn.tokens for turn in run.turns]
        for sampled, scored in zip(run.turns, scores, strict=True):
            np.testing.assert_allclose(scored, sampled.scores, rtol=0, atol=1e-9)


def test_equal_values_do_not_confuse_the_windows(base: Weights) -> None:
    """Every window has the same cost and return, so that the words alone can tell them apart."""
    for seed in range(60):
        run = talk(base, Figures(), seed=seed, temperature=3.0)
        assert [turn.tokens for turn in run.conversation().turns] == [turn.tokens for turn in run.turns]


def test_probabilities_of_the_alternatives_sum_to_one(base: Weights) -> None:
    run = talk(base, seed=1)
    run.contents = run.contents[:3]
    conversation = run.conversation()
    sampled = generate(base, conversation, Sampling(seed=1, alternatives=SIZE), stream_of(1, conversation))
    for own, score, others in zip(sampled.tokens, sampled.scores, sampled.others, strict=True):
        assert sum(np.exp([value for _, value in others])) == pytest.approx(1.0, abs=1e-9)
        assert (own, score) in others
        assert [value for _, value in others] == sorted((value for _, value in others), reverse=True)


def test_the_same_seed_gives_the_same_tokens_and_another_seed_does_not(base: Weights) -> None:
    figures = drawn_figures(random.Random(5))
    assert talk(base, figures, seed=11).contents == talk(base, figures, seed=11).contents
    assert len({str(talk(base, figures, seed=seed).contents) for seed in range(20)}) > 10


def test_log_probabilities_do_not_depend_on_the_temperature(base: Weights) -> None:
    greedy = talk(base, temperature=0.0, seed=1)
    other = talk(base, temperature=0.3, seed=2)
    assert greedy.turns[0].tokens == other.turns[0].tokens
    assert greedy.turns[0].scores == other.turns[0].scores


def test_frequencies_are_the_probabilities(base: Weights) -> None:
    """At temperature 1 the first token's share over many seeds is its stated probability."""
    found = [talk(base, seed=seed).turns[0] for seed in range(500)]
    most = max({turn.tokens[0] for turn in found}, key=[turn.tokens[0] for turn in found].count)
    share = sum(turn.tokens[0] == most for turn in found) / len(found)
    stated = np.exp(next(turn.scores[0] for turn in found if turn.tokens[0] == most))
    assert share == pytest.approx(stated, abs=4 * np.sqrt(stated * (1 - stated) / len(found)) + 1e-6)
