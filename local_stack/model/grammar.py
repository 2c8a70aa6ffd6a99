"""Which token may come next: the structure of tool calls and of the decision, as constrained decoding.

The grammar is about form only; what a rationale says and what an action is are the model's own. A turn is in
the state that its last structural token left it in.
"""

import numpy as np

from local_stack.model.compiled import compiled, compiled_as
from local_stack.model.vocabulary import (
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
    KINDS,
    LAST,
    NAME,
    OPEN,
    POINTER,
    REFERENCE,
    STEP,
    STEP_PERCENT,
    STOP,
    TREND,
    VIEW,
    WORD,
    WRITE,
)  # fmt: skip

(
    STARTS, CALLING, ARGUING, CITING, NAMING, CHOOSING, DECIDED, WRITTEN, CLOSING, CLOSED, PLAIN, ENDED,
    JUDGING,
) = range(13)  # fmt: skip
"""States of a turn; STARTS and CLOSING are where one begins."""

MAXIMUM_SENTENCES = 8
MAXIMUM_SENTENCE = 40

_STATES = 13
_KINDS = np.zeros((_STATES, KINDS), np.bool_)
"""Which kinds a state allows; some of them only under the conditions below."""
LOW = np.zeros(_STATES, np.int64)
HIGH = np.zeros(_STATES, np.int64)
"""Range of the tokens that a state allows at most; the inner loops run over nothing else."""
for _state, _kinds in (
    (STARTS, (CALL, OPEN)), (CALLING, (END, CALL)), (ARGUING, (STOP, CITED, POINTER, REFERENCE, WORD)),
    (CITING, (ACTION, TREND, POINTER)), (JUDGING, (VIEW,)), (NAMING, (NAME,)),
    (CHOOSING, (STEP, CLOSE)), (DECIDED, (END, WRITE)),
    (WRITTEN, (END,)), (CLOSING, (FINAL,)), (CLOSED, (END,)), (PLAIN, (END, STOP, POINTER, REFERENCE, WORD)),
    (ENDED, (END,)),
):  # fmt: skip
    _KINDS[_state, list(_kinds)] = True
    LOW[_state] = min(FIRST[kind] for kind in _kinds)
    HIGH[_state] = max(LAST[kind] for kind in _kinds) + 1

NEXT = np.arange(_STATES, dtype=np.int8)[:, None].repeat(KINDS, axis=1)
"""The state after a token of a kind; a word leaves it as it is, or begins a plain text."""
for _kind, _state in (
    (CALL, CALLING), (OPEN, ARGUING), (CITED, CITING), (ACTION, NAMING), (NAME, CHOOSING), (STEP, DECIDED),
    (CLOSE, DECIDED), (WRITE, WRITTEN), (FINAL, CLOSED), (END, ENDED), (TREND, JUDGING), (VIEW, WRITTEN),
):  # fmt: skip
    NEXT[:, _kind] = _state
NEXT[STARTS, [STOP, POINTER, REFERENCE, WORD]] = PLAIN

_SCALE_UP, _SCALE_DOWN = ID["scale_up"], ID["scale_down"]
_PAUSE, _RESUME = ID["pause"], ID["resume"]
_ASKED, _NO_STEP = ID["step_asked"], ID["step_none"]
_CLOSE = FIRST[CLOSE]
_CITED = FIRST[CITED]
_STOP = FIRST[STOP]
_END = FIRST[END]
_SET_BUDGET, _SET_STATUS = ID["set_daily_budget"], ID["set_status"]


@compiled_as("int64(int16[::1], int64, int64, int64)")
def _last_of(history: np.ndarray, start: int, n: int, kind: int) -> int:
    """The last token of `kind` in the turn, or -1."""
    for i in range(n - 1, start - 1, -1):
        if KIND[history[i]] == kind:
            return int(history[i])
    return -1


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


@compiled_as("boolean(int64, int64)")
def _fits_step(token: int, name: int) -> bool:
    """Whether the arguments `token` belong to the action `name`: a step of its sign, or none."""
    if name not in (_SCALE_UP, _SCALE_DOWN):
        return token == _CLOSE
    if token in (_ASKED, _NO_STEP):
        return True
    return bool(STEP_PERCENT[token] > 0 if name == _SCALE_UP else STEP_PERCENT[token] < 0)


@compiled
def _forbid(history: np.ndarray, begin: int, end: int, allowed: np.ndarray) -> None:
    """Nothing is called or cited twice."""
    for i in range(begin, end):
        allowed[history[i]] = False


@compiled
def _after_cited(history: np.ndarray, start: int, n: int) -> int:
    """Where the list of cited metrics begins."""
    while n > start and history[n - 1] != _CITED:
        n -= 1
    return n


@compiled_as("int64(int64, int16[::1], int64, int64, int64, int64, int64, boolean[::1])")
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
    available |= 1  # group 0 is always there
    low, high = LOW[state], HIGH[state]
    for token in range(low, high):
        allowed[token] = _KINDS[state, KIND[token]] and ((available >> GROUP[token]) & 1) == 1
    if state == ARGUING:
        ended = n > start and history[n - 1] == _STOP
        if since_stop >= MAXIMUM_SENTENCE or (ended and sentences >= MAXIMUM_SENTENCES):
            allowed[low:high] = False
        allowed[_STOP] = since_stop > 0
        allowed[_CITED] = ended
    elif state == CALLING:
        _forbid(history, start, n, allowed)
    elif state == CITING:
        _forbid(history, _after_cited(history, start, n), n, allowed)
    elif state == CHOOSING:
        name = _last_of(history, start, n, NAME)
        for token in range(low, high):
            allowed[token] = allowed[token] and _fits_step(token, name)
    elif state == DECIDED:
        after = _write_after(history, start, n, available)
        for token in range(low, high):
            allowed[token] = token == after
    count = 0
    for token in range(low, high):
        count += allowed[token]
    return count
