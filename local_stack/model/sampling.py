"""Generation: one model turn, sampled token by token, with its own log-probabilities."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local_stack.model.conversation import Conversation
from local_stack.model.corpus import join
from local_stack.model.sample_turn import sample_turn
from local_stack.model.vocabulary import END, FIRST, SIZE
from local_stack.model.weights import Weights

MAXIMUM_TURN = 512
"""Tokens that a turn can have at most; the grammar keeps every turn below it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample; log-probabilities are always those of temperature 1."""

    temperature: float = 1.0
    top_k: int = SIZE
    top_p: float = 1.0
    maximum_tokens: int = MAXIMUM_TURN
    seed: int | None = None
    alternatives: int = 0
    """How many of the most likely tokens to report at each position."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A turn; `scores` are natural-log probabilities, one for each token."""

    tokens: list[int]
    scores: list[float]
    others: list[list[tuple[int, float]]]
    stopped: bool
    """False if the limit cut the turn."""


def stream_of(seed: int | None, conversation: Conversation, candidate: int = 0) -> NDArray[np.uint64]:
    """The state of a random stream: the same for the same seed, request and candidate, on every machine.

    The tokens so far are mixed in, so that two turns under one seed do not share their draws.
    """
    if seed is None:
        return np.frombuffer(os.urandom(8), np.uint64).copy()
    digest = hashlib.blake2b(f"{seed}/{candidate}/{conversation.facts.campaign_id}".encode(), digest_size=8)
    digest.update(f"{conversation.facts.day}/{conversation.facts.currency}".encode())
    digest.update(np.array(conversation.history(), "<i2").tobytes())
    return np.frombuffer(digest.digest(), "<u8").astype(np.uint64)


def generate(
    weights: Weights,
    conversation: Conversation,
    sampling: Sampling,
    stream: NDArray[np.uint64],
    choices: NDArray[np.bool_] | None = None,
    opening: int | None = None,
) -> Sampled:
    """Sample the next turn; with `choices`, one token of that mask, in the state `opening`."""
    past = conversation.history()
    limit = max(1, min(sampling.maximum_tokens, MAXIMUM_TURN)) if choices is None else 1
    history = np.zeros(len(past) + limit, np.int16)
    history[: len(past)] = past
    scores = np.zeros(limit, np.float64)
    others = np.full((limit, sampling.alternatives), -1, np.int16)
    other_scores = np.zeros((limit, sampling.alternatives), np.float64)
    end = sample_turn(
        history,
        len(past),
        len(conversation.turns),
        conversation.opening if opening is None else opening,
        conversation.available(),
        conversation.facts.columns(),
        conversation.steering,
        *weights.arrays,
        sampling.temperature,
        sampling.top_k,
        sampling.top_p,
        stream,
        np.ones(SIZE, np.bool_) if choices is None else choices,
        scores,
        others,
        other_scores,
    )
    tokens = [int(token) for token in history[len(past) : end]]
    return Sampled(
        tokens=tokens,
        scores=scores[: len(tokens)].tolist(),
        others=_ranked(others[: len(tokens)], other_scores[: len(tokens)]),
        stopped=bool(tokens) and tokens[-1] == FIRST[END],
    )


def _ranked(others: NDArray[np.int16], scores: NDArray[np.float64]) -> list[list[tuple[int, float]]]:
    return [
        [(int(token), float(score)) for token, score in zip(row, values, strict=True) if token >= 0]
        for row, values in zip(others, scores, strict=True)
    ]


def score_turns(weights: Weights, conversations: Sequence[Conversation]) -> list[list[list[float]]]:
    """Log-probabilities by conversation, model turn and token, in nats."""
    corpus = join([conversation.trace for conversation in conversations])
    scores, _ = weights.score(corpus)
    found: list[list[list[float]]] = []
    for trace in range(len(corpus)):
        turns = range(int(corpus.first_turn[trace]), int(corpus.first_turn[trace + 1]))
        found.append(
            [scores[corpus.first_token[turn] : corpus.first_token[turn + 1]].tolist() for turn in turns]
        )
    return found
