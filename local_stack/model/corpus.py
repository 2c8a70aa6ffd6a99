"""Conversations as flat arrays, the form that the compiled core reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from local_stack.model.buckets import COLUMNS, Buckets
from local_stack.model.note import STEERING

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Turn:
    """One model turn: what it could see, what it could say, and the tokens it said."""

    opening: int
    available: int
    columns: Buckets
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Trace:
    """The model turns of one conversation."""

    steering: NDArray[np.int16]
    turns: list[Turn] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Traces, one after the other. `first_turn` and `first_token` have one entry more than there are."""

    first_turn: Int
    first_token: Int
    tokens: NDArray[np.int16]
    openings: NDArray[np.int8]
    available: Int
    columns: NDArray[np.int16]
    steering: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.first_turn) - 1


def join(traces: Sequence[Trace]) -> Corpus:
    """All traces in one corpus."""
    turns = [turn for trace in traces for turn in trace.turns]
    return Corpus(
        first_turn=np.cumsum([0, *(len(trace.turns) for trace in traces)], dtype=np.int64),
        first_token=np.cumsum([0, *(len(turn.tokens) for turn in turns)], dtype=np.int64),
        tokens=np.array([token for turn in turns for token in turn.tokens], np.int16),
        openings=np.array([turn.opening for turn in turns], np.int8),
        available=np.array([turn.available for turn in turns], np.int64),
        columns=np.array([turn.columns for turn in turns], np.int16).reshape(len(turns), len(COLUMNS)),
        steering=np.array([trace.steering for trace in traces], np.int16).reshape(len(traces), len(STEERING)),
    )
