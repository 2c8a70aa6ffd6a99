"""The weights of a model: the base's rows, and the rows that a tuned model has of its own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from local_stack.model.corpus import Corpus
from local_stack.model.engine import fit, score, touched_rows
from local_stack.model.features import ROWS
from local_stack.model.files import write_whole
from local_stack.model.vocabulary import SIZE

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """Row r is `own[overlay[r]]` where `overlay[r]` is not -1, else `base[r]`."""

    base: Floats
    own: Floats
    overlay: NDArray[np.int32]

    @property
    def arrays(self) -> tuple[Floats, Floats, NDArray[np.int32]]:
        """The three arrays, in the order in which the compiled core takes them."""
        return self.base, self.own, self.overlay

    def score(self, corpus: Corpus) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Each token's log-probability in nats, and whether the grammar allowed it."""
        scores = np.zeros(len(corpus.tokens), np.float64)
        expected = np.zeros(len(corpus.tokens), np.bool_)
        score(
            corpus.first_turn, corpus.first_token, corpus.tokens, corpus.openings, corpus.available,
            corpus.columns, corpus.steering, *self.arrays, scores, expected,
        )  # fmt: skip
        return scores, expected

    def loss(self, corpus: Corpus) -> float:
        """Mean of the negative log-probability per token, nats, over what the grammar allows."""
        scores, expected = self.score(corpus)
        return float(-scores[expected].mean()) if expected.any() else float("nan")


def blank() -> Weights:
    """A model that knows nothing, every row its own, ready to be fitted."""
    own = np.zeros((ROWS, SIZE), np.float32)
    return Weights(np.zeros((1, SIZE), np.float32), own, np.arange(ROWS, dtype=np.int32))


def fork(weights: Weights, corpus: Corpus) -> Weights:
    """A copy with rows of its own wherever a fit on `corpus` can change one."""
    touched = np.zeros(ROWS, np.bool_)
    touched_rows(
        corpus.first_turn, corpus.first_token, corpus.tokens, corpus.openings, corpus.columns,
        corpus.steering, touched,
    )  # fmt: skip
    has_own = weights.overlay >= 0
    places = np.flatnonzero(touched | has_own)
    rows = weights.base[places]
    rows[has_own[places]] = weights.own[weights.overlay[places][has_own[places]]]
    overlay = np.full(ROWS, -1, np.int32)
    overlay[places] = np.arange(len(places), dtype=np.int32)
    return Weights(weights.base, rows, overlay)


class Fitter:
    """Adagrad with one step size per row, over one corpus."""

    def __init__(self, weights: Weights, corpus: Corpus, rate: float, seed: int) -> None:
        self.weights = weights
        self._corpus = corpus
        self._rate = rate
        self._random = np.random.default_rng(seed)
        self._squares = np.zeros(len(weights.own), np.float32)

    def epoch(self) -> float:
        """One pass in random order; returns the mean loss met on the way, nats per token."""
        c = self._corpus
        loss, count = fit(
            self._random.permutation(len(c)), c.first_turn, c.first_token, c.tokens, c.openings, c.available,
            c.columns, c.steering, *self.weights.arrays, self._squares, self._rate,
        )  # fmt: skip
        return float(loss / max(count, 1))


def save(path: Path, weights: Weights, version: str) -> None:
    """Write the rows that are not the base's, as 16-bit floats, in one step; `version` is the base's."""
    places = np.flatnonzero(weights.overlay >= 0)
    rows = weights.own[weights.overlay[places]].astype(np.float16)
    write_whole(path, lambda file: np.savez(file, places=places.astype(np.int32), rows=rows, base=version))


class OtherBase(ValueError):
    """The rows belong to another base; the text is that base's version."""


def load(path: Path, base: Floats, version: str) -> Weights:
    """Read what `save` wrote, over the rows of `base`. Raises OtherBase."""
    with np.load(path) as stored:
        if stored["base"] != version:
            raise OtherBase(str(stored["base"]))
        overlay = np.full(ROWS, -1, np.int32)
        overlay[stored["places"]] = np.arange(len(stored["places"]), dtype=np.int32)
        return Weights(base, stored["rows"].astype(np.float32), overlay)
