"""The compiled sampler: one turn, drawn token by token from the engine's softmax."""

import math

import numpy as np

from local_stack.model.compiled import compiled
from local_stack.model.engine import add_rows, log_normalizer, step
from local_stack.model.features import MAXIMUM_ACTIVE, active_rows
from local_stack.model.grammar import ARGUING, HIGH, LOW, fill_allowed
from local_stack.model.vocabulary import END, FIRST, SIZE

_END = FIRST[END]


@compiled
def _uniform(seed: np.ndarray) -> float:
    """The next number in [0, 1) of the SplitMix64 stream whose state is `seed[0]`."""
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    z = seed[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 9007199254740992.0


@compiled
def _best(scores: np.ndarray, low: int, high: int, left: np.ndarray) -> int:
    """The likeliest of the tokens that are left, the first one where some are alike; -1 for none."""
    best = -1
    for y in range(low, high):
        if left[y] and (best < 0 or scores[y] > scores[best]):
            best = y
    return best


@compiled
def _keep_top(
    scores: np.ndarray, low: int, high: int, kept: np.ndarray, temperature: float, top_k: int, top_p: float
) -> None:
    """Narrow `kept` to the likeliest tokens: `top_k` of them, or as many as have the share `top_p`."""
    left = kept.copy()
    best = _best(scores, low, high, left)
    total = 0.0
    for y in range(low, high):
        if kept[y]:
            total += math.exp((scores[y] - scores[best]) / temperature)
        kept[y] = False
    top, mass, count = scores[best], 0.0, 0
    while best >= 0 and count < top_k and mass < top_p * total:
        kept[best], left[best] = True, False
        mass += math.exp((scores[best] - top) / temperature)
        count += 1
        best = _best(scores, low, high, left)


@compiled
def _choose(
    scores: np.ndarray, low: int, high: int, kept: np.ndarray, temperature: float, seed: np.ndarray
) -> int:
    """Draw one of the kept tokens at the temperature; 0 is greedy."""
    best = _best(scores, low, high, kept)
    if temperature <= 0.0 or best < 0:
        return best
    total = 0.0
    for y in range(low, high):
        if kept[y]:
            total += math.exp((scores[y] - scores[best]) / temperature)
    mark = _uniform(seed) * total
    chosen = best
    for y in range(low, high):
        if kept[y]:
            chosen = y
            mark -= math.exp((scores[y] - scores[best]) / temperature)
            if mark < 0.0:
                break
    return chosen


@compiled
def sample_turn(
    history: np.ndarray,
    n: int,
    turns: int,
    opening: int,
    available: int,
    columns: np.ndarray,
    steering: np.ndarray,
    base: np.ndarray,
    own: np.ndarray,
    overlay: np.ndarray,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: np.ndarray,
    choices: np.ndarray,
    scores: np.ndarray,
    others: np.ndarray,
    other_scores: np.ndarray,
) -> int:
    """Write one turn after `history[:n]`, until it ends or `history` is full; returns where it ends.

    `choices` is a mask over the vocabulary that narrows the grammar further. `scores[i]` is the
    log-probability of `history[n + i]` at temperature 1; `others` and `other_scores` take the most likely
    tokens of each position, best first, -1 where there are fewer.
    """
    rows = np.empty(MAXIMUM_ACTIVE + 8, np.int64)
    logits = np.empty(SIZE, np.float32)
    allowed = np.zeros(SIZE, np.bool_)
    shares = np.empty(SIZE, np.float64)
    start = n
    state, sentences, since_stop = opening, 0, 0
    while n < len(history):
        low, high = LOW[state], HIGH[state]
        fill_allowed(state, history, start, n, since_stop, sentences, available, allowed)
        for y in range(low, high):
            allowed[y] = allowed[y] and choices[y]
        depth = sentences if state == ARGUING else turns
        count = active_rows(history, start, n, state, depth, columns, steering, rows)
        add_rows(rows, count, low, high, base, own, overlay, logits)
        normal = log_normalizer(logits, low, high, allowed, shares)
        left = allowed.copy()
        for i in range(others.shape[1]):
            best = _best(logits, low, high, left)
            others[n - start, i] = best
            if best >= 0:
                other_scores[n - start, i] = min(0.0, logits[best] - normal)
                left[best] = False
        if temperature > 0.0 and (top_k < high - low or top_p < 1.0):
            _keep_top(logits, low, high, allowed, temperature, top_k, top_p)
        token = _choose(logits, low, high, allowed, temperature, seed)
        if token < 0:
            break
        history[n] = token
        scores[n - start] = min(0.0, logits[token] - normal)
        n += 1
        if token == _END:
            break
        state, sentences, since_stop = step(state, token, sentences, since_stop)
    return n
