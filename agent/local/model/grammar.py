"""Which token may come next: the structure of tool calls and of the decision, as constrained decoding.

The grammar is about form only; what a rationale says and what an action is are the model's own. A turn is in
the state that its last structural token left it in.
"""

import numpy as np

from agent.local.model.compiled import compiled
from agent.local.model.vocabulary import (
    ACTION,
    CALL,
    CITED,
    CLOSE,
    END,
    FINAL,
    FIRST,
    GROUP,
    ID,
    KIND,
    LAST,
    NAME,
    OPEN,
    POINTER,
    REFERENCE,
    STEP,
    STEP_PERCENT,
    STOP,
    WORD,
    WRITE,
)  # fmt: skip

(STARTS, CALLING, ARGUING, CITING, NAMING, CHOOSING, DECIDED, WRITTEN, CLOSING, CLOSED, PLAIN, ENDED) = range(
    12
)
"""States of a turn; STARTS and CLOSING are where one begins."""

MAXIMUM_SENTENCES = 8
MAXIMUM_SENTENCE = 40

LOW = np.zeros(12, np.int64)
HIGH = np.zeros(12, np.int64)
"""Range of the tokens that a state allows at most; the inner loops run over nothing else."""
for _state, _first, _last in (
    (STARTS, CALL, OPEN), (CALLING, END, CALL), (ARGUING, STOP, WORD), (CITING, ACTION, POINTER),
    (NAMING, NAME, NAME), (CHOOSING, STEP, CLOSE), (DECIDED, END, WRITE), (WRITTEN, END, END),
    (CLOSING, FINAL, FINAL), (CLOSED, END, END), (PLAIN, END, WORD), (ENDED, END, END),
):  # fmt: skip
    LOW[_state], HIGH[_state] = FIRST[_first], LAST[_last] + 1

_NEXT = np.arange(12)[:, None].repeat(15, axis=1).astype(np.int8)
for _kind, _state in (
    (CALL, CALLING), (OPEN, ARGUING), (CITED, CITING), (ACTION, NAMING), (NAME, CHOOSING), (STEP, DECIDED),
    (CLOSE, DECIDED), (WRITE, WRITTEN), (FINAL, CLOSED), (END, ENDED),
):  # fmt: skip
    _NEXT[:, _kind] = _state
for _kind in (STOP, POINTER, REFERENCE, WORD):
    _NEXT[STARTS, _kind] = PLAIN
NEXT = _NEXT

_SCALE_UP, _SCALE_DOWN = ID["scale_up"], ID["scale_down"]
_PAUSE, _RESUME = ID["pause"], ID["resume"]
_ASKED, _NO_STEP = ID["step_asked"], ID["step_none"]
_CLOSE = FIRST[CLOSE]
_CITED = FIRST[CITED]
_STOP = FIRST[STOP]
_END = FIRST[END]
_SET_BUDGET, _SET_STATUS = ID["set_daily_budget"], ID["set_status"]


@compiled
def _last_of(history: np.ndarray, start: int, n: int, kind: int) -> int:
    """The last token of `kind` in the turn, or -1."""
    for i in range(n - 1, start - 1, -1):
        if KIND[history[i]] == kind:
            return int(history[i])
    return -1


@compiled
def _holds(history: np.ndarray, start: int, n: int, token: int) -> bool:
    for i in range(start, n):  # noqa: SIM110 - compiled
        if history[i] == token:
            return True
    return False


@compiled
def _write_after(history: np.ndarray, start: int, n: int, available: int) -> int:
    """The one token that follows a whole decision: the write call of its action, or the end of the turn."""
    name = _last_of(history, start, n, NAME)
    write = -1
    if name in (_SCALE_UP, _SCALE_DOWN):
        write = _SET_BUDGET if history[n - 1] != _NO_STEP else -1
    elif name in (_PAUSE, _RESUME):
        write = _SET_STATUS
    if write >= 0 and (available >> GROUP[write]) & 1:
        return write
    return _END


@compiled
def _fits_step(token: int, name: int) -> bool:
    """Whether the arguments `token` belong to the action `name`: a step of its sign, or none."""
    if name not in (_SCALE_UP, _SCALE_DOWN):
        return token == _CLOSE
    if token in (_ASKED, _NO_STEP):
        return True
    return bool(STEP_PERCENT[token] > 0 if name == _SCALE_UP else STEP_PERCENT[token] < 0)


@compiled
def fill_allowed(
    state: int,
    history: np.ndarray,
    start: int,
    n: int,
    since_stop: int,
    sentences: int,
    available: int,
    allowed: np.ndarray,
) -> int:
    """Mark the allowed tokens within the state's range; returns how many there are.

    `start` is where this turn begins in `history`, `n` its end; `since_stop` counts the tokens since the last
    sentence end, `available` is the request's mask of groups.
    """
    count = 0
    available |= 1  # group 0 is always there
    argued = history[n - 1] == _STOP if n > start else False
    name = _last_of(history, start, n, NAME) if state == CHOOSING else -1
    after = _write_after(history, start, n, available) if state == DECIDED else -1
    cited_at = n
    if state == CITING:
        while cited_at > start and history[cited_at - 1] != _CITED:
            cited_at -= 1
    for token in range(LOW[state], HIGH[state]):
        kind = KIND[token]
        fits = ((available >> GROUP[token]) & 1) == 1
        if fits:
            if state == STARTS:
                fits = kind in (CALL, OPEN)
            elif state == CALLING:
                fits = token == _END or (kind == CALL and not _holds(history, start, n, token))
            elif state == ARGUING:
                if kind == CITED:
                    fits = argued
                elif kind == STOP:
                    fits = since_stop > 0
                else:
                    fits = (
                        kind != ACTION
                        and not (argued and sentences >= MAXIMUM_SENTENCES)
                        and since_stop < MAXIMUM_SENTENCE
                    )
            elif state == CITING:
                fits = kind == ACTION or not _holds(history, cited_at, n, token)
            elif state == CHOOSING:
                fits = _fits_step(token, name)
            elif state == DECIDED:
                fits = token == after
            elif state == PLAIN:
                fits = token == _END or kind in (STOP, POINTER, REFERENCE, WORD)
        allowed[token] = fits
        count += fits
    return count
