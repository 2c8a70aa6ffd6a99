"""The compiled core: a softmax over hashed rows, its gradient steps and its scores.

p(y | h) is the softmax over the allowed tokens y of the sum of the active rows' weights. A tuned model is the
base with some rows of its own (`overlay` says which), so that many of them fit in memory.
"""

import math

import numpy as np

from local_stack.model.compiled import compiled, compiled_as
from local_stack.model.features import MAXIMUM_ACTIVE, active_rows
from local_stack.model.grammar import ARGUING, HIGH, LOW, NEXT, fill_allowed
from local_stack.model.vocabulary import FIRST, KIND, SIZE, STOP

_STOP = FIRST[STOP]
NEGLIGIBLE = 5e-4
"""Part of a gradient that is left out: it is most of the work and none of the effect."""


@compiled
def add_rows(
    rows: np.ndarray,
    count: int,
    low: int,
    high: int,
    base: np.ndarray,
    own: np.ndarray,
    overlay: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Sum the active rows' weights into `logits[low:high]`."""
    sums = logits[low:high]
    sums[:] = 0.0
    for i in range(count):
        place = overlay[rows[i]]
        row = own[place, low:high] if place >= 0 else base[rows[i], low:high]
        for y in range(sums.size):  # indices from 0, or the loop is not vectorized
            sums[y] += row[y]


@compiled
def log_normalizer(logits: np.ndarray, low: int, high: int, allowed: np.ndarray, shares: np.ndarray) -> float:
    """log of the sum of exp over the allowed tokens; `shares` takes each token's part of the sum."""
    top = -1e30
    for y in range(low, high):
        if allowed[y] and logits[y] > top:
            top = float(logits[y])
    total = 0.0
    for y in range(low, high):
        shares[y] = math.exp(logits[y] - top) if allowed[y] else 0.0
        total += shares[y]
    for y in range(low, high):
        shares[y] /= total
    return top + math.log(total)


@compiled_as("UniTuple(int64, 3)(int64, int64, int64, int64)")
def step(state: int, token: int, sentences: int, since_stop: int) -> tuple[int, int, int]:
    """State, sentences and tokens since the last sentence end, after `token`."""
    after = int(NEXT[state, KIND[token]])
    if token == _STOP:
        return after, sentences + 1, 0
    return after, sentences, 0 if after != state else since_stop + 1


@compiled
def fit(
    order: np.ndarray,
    first_turn: np.ndarray,
    first_token: np.ndarray,
    tokens: np.ndarray,
    openings: np.ndarray,
    available: np.ndarray,
    columns: np.ndarray,
    steering: np.ndarray,
    base: np.ndarray,
    own: np.ndarray,
    overlay: np.ndarray,
    squares: np.ndarray,
    rate: float,
) -> tuple[float, int]:
    """One pass of per-row Adagrad over the conversations in `order`; returns the summed loss in nats and the
    number of tokens. Tokens that the grammar forbids are context only."""
    rows = np.empty(MAXIMUM_ACTIVE + 8, np.int64)
    logits = np.empty(SIZE, np.float32)
    places = np.empty(SIZE, np.int64)
    slopes = np.empty(SIZE, np.float64)
    allowed = np.zeros(SIZE, np.bool_)
    shares = np.empty(SIZE, np.float64)
    loss, fitted = 0.0, 0
    for trace in order:
        begin = first_token[first_turn[trace]]
        for turn in range(first_turn[trace], first_turn[trace + 1]):
            start = first_token[turn] - begin
            history = tokens[begin : first_token[turn + 1]]
            state, sentences, since_stop = int(openings[turn]), 0, 0
            for n in range(start, len(history)):
                target = history[n]
                low, high = LOW[state], HIGH[state]
                choices = fill_allowed(
                    state, history, start, n, since_stop, sentences, available[turn], allowed
                )
                if low <= target < high and allowed[target]:
                    fitted += 1
                    if choices > 1:
                        depth = sentences if state == ARGUING else turn - first_turn[trace]
                        count = active_rows(
                            history, start, n, state, depth, columns[turn], steering[trace], rows
                        )
                        add_rows(rows, count, low, high, base, own, overlay, logits)
                        normal = log_normalizer(logits, low, high, allowed, shares)
                        loss += normal - logits[target]
                        square = 0.0
                        moved = 0
                        for y in range(low, high):
                            slope = shares[y]
                            if y == target:
                                slope -= 1.0
                            if abs(slope) > NEGLIGIBLE:
                                places[moved], slopes[moved] = y, slope
                                square += slope * slope
                                moved += 1
                        for i in range(count):
                            place = overlay[rows[i]]
                            squares[place] += square
                            pace = rate / math.sqrt(1.0 + squares[place])
                            for j in range(moved):
                                own[place, places[j]] -= pace * slopes[j]
                state, sentences, since_stop = step(state, target, sentences, since_stop)
    return loss, fitted


@compiled
def touched_rows(
    first_turn: np.ndarray,
    first_token: np.ndarray,
    tokens: np.ndarray,
    openings: np.ndarray,
    columns: np.ndarray,
    steering: np.ndarray,
    touched: np.ndarray,
) -> None:
    """Mark in `touched` every row that a fit on these conversations can change."""
    rows = np.empty(MAXIMUM_ACTIVE + 8, np.int64)
    for trace in range(len(first_turn) - 1):
        begin = first_token[first_turn[trace]]
        for turn in range(first_turn[trace], first_turn[trace + 1]):
            start = first_token[turn] - begin
            history = tokens[begin : first_token[turn + 1]]
            state, sentences, since_stop = int(openings[turn]), 0, 0
            for n in range(start, len(history)):
                depth = sentences if state == ARGUING else turn - first_turn[trace]
                count = active_rows(history, start, n, state, depth, columns[turn], steering[trace], rows)
                for i in range(count):
                    touched[rows[i]] = True
                state, sentences, since_stop = step(state, history[n], sentences, since_stop)


@compiled
def score(
    first_turn: np.ndarray,
    first_token: np.ndarray,
    tokens: np.ndarray,
    openings: np.ndarray,
    available: np.ndarray,
    columns: np.ndarray,
    steering: np.ndarray,
    base: np.ndarray,
    own: np.ndarray,
    overlay: np.ndarray,
    scores: np.ndarray,
    expected: np.ndarray,
) -> None:
    """Write each token's log-probability to `scores`, in nats, and to `expected` whether the grammar allowed
    it; a token that it forbids is scored over the whole vocabulary."""
    rows = np.empty(MAXIMUM_ACTIVE + 8, np.int64)
    logits = np.empty(SIZE, np.float32)
    allowed = np.zeros(SIZE, np.bool_)
    shares = np.empty(SIZE, np.float64)
    everything = np.ones(SIZE, np.bool_)
    for trace in range(len(first_turn) - 1):
        begin = first_token[first_turn[trace]]
        for turn in range(first_turn[trace], first_turn[trace + 1]):
            start = first_token[turn] - begin
            history = tokens[begin : first_token[turn + 1]]
            state, sentences, since_stop = int(openings[turn]), 0, 0
            for n in range(start, len(history)):
                target = history[n]
                low, high = LOW[state], HIGH[state]
                fill_allowed(state, history, start, n, since_stop, sentences, available[turn], allowed)
                depth = sentences if state == ARGUING else turn - first_turn[trace]
                count = active_rows(history, start, n, state, depth, columns[turn], steering[trace], rows)
                fits = low <= target < high and allowed[target]
                if not fits:
                    low, high = 0, SIZE
                add_rows(rows, count, low, high, base, own, overlay, logits)
                normal = log_normalizer(logits, low, high, allowed if fits else everything, shares)
                scores[begin + n] = min(0.0, logits[target] - normal)
                expected[begin + n] = fits
                state, sentences, since_stop = step(state, target, sentences, since_stop)
