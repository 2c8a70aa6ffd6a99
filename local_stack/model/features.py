"""The active features of one position: which rows of the weights predict the next token.

Everything the model knows of its context goes through here, and training, sampling and scoring all call this
one function. A feature is a small tuple of integers, hashed to a row.
"""

import numpy as np

from local_stack.model.buckets import COLUMN, COLUMNS, LEVELS
from local_stack.model.compiled import compiled, compiled_as
from local_stack.model.grammar import ARGUING, CHOOSING, CITING, JUDGING, NAMING
from local_stack.model.note import ANALYST_VOICE
from local_stack.model.vocabulary import CITED, FIRST, ID, KIND, POINTER, POINTERS, SHORT_WINDOWS, SIZE

AGENT_ROWS = 1 << 15
ANALYST_ROWS = 1 << 13
"""Rows of the analysts' voice alone: what it learns changes nothing in the others."""
ROWS = AGENT_ROWS + ANALYST_ROWS
MAXIMUM_ACTIVE = 192
_WIDTH = len(COLUMNS)
_RADIX = 1031
_DEPTHS = 8
_ORDERS = 5
_CITED = FIRST[CITED]

POINTER_COLUMN = np.full(SIZE, -1, np.int16)
"""The context column that holds a pointer's bucket, or -1."""
POINTER_WINDOW = np.zeros(SIZE, np.int16)
for _metric, _window in POINTERS:
    _short = SHORT_WINDOWS[_window]
    POINTER_COLUMN[ID[f"{_metric}_{_short}"]] = COLUMN.get(f"{_metric}_{_short}", -1)
    POINTER_WINDOW[ID[f"{_metric}_{_short}"]] = 1 + list(SHORT_WINDOWS).index(_window)

_CPA = np.array([COLUMN["cpa_1d"], COLUMN["cpa_3d"], COLUMN["cpa_7d"]])
_ROAS = np.array([COLUMN["roas_1d"], COLUMN["roas_3d"], COLUMN["roas_7d"]])
_PHASE, _STATUS, _KNOWN = COLUMN["phase"], COLUMN["status"], COLUMN["known"]


@compiled_as("int64(int64, int64, int64, int64, int64)")
def _key(kind: int, a: int, b: int, c: int, d: int) -> int:
    """A feature as one number; each of its members is below the radix."""
    return (((kind * _RADIX + a + 1) * _RADIX + b + 1) * _RADIX + c + 1) * _RADIX + d + 1


@compiled
def _hash(keys: np.ndarray, count: int, first: int, rows: int) -> None:
    """Turn keys into rows from `first` on, in place, by the 64-bit finalizer of MurmurHash3."""
    mask = np.uint64(rows - 1)
    for i in range(count):
        h = np.uint64(keys[i])
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        keys[i] = first + int((h ^ (h >> np.uint64(33))) & mask)


@compiled_as("int64(int16[::1], int64)")
def _level(columns: np.ndarray, window: int) -> int:
    """Cost and return of a window in one: 1 is worst, 17 best, 0 not known."""
    cost, returned = int(columns[_CPA[window]]), int(columns[_ROAS[window]])
    if cost == 0 or returned == 0:
        return 0
    return LEVELS - min(cost, LEVELS) + min(returned, LEVELS)


@compiled_as("boolean(int16[::1], int64, int64, int64)")
def _before(history: np.ndarray, start: int, end: int, token: int) -> bool:
    for i in range(start, end):  # noqa: SIM110 - compiled
        if history[i] == token:
            return True
    return False


@compiled_as("int64(int16[::1], int64, int64)")
def _next_uncited(history: np.ndarray, start: int, n: int) -> int:
    """The first number of the rationale that the list of cited metrics does not have yet, or -1."""
    end = n
    while end > start and history[end - 1] != _CITED:
        end -= 1
    for i in range(start, end):
        token = int(history[i])
        if KIND[token] == POINTER and not _before(history, end, n, token):
            return int(token)
    return -1


@compiled_as("int64(int16[::1], int64, int64, int64, int64, int16[::1], int16[::1], int64[::1])")
def active_rows(
    history: np.ndarray,
    start: int,
    n: int,
    state: int,
    depth: int,
    columns: np.ndarray,
    steering: np.ndarray,
    rows: np.ndarray,
) -> int:
    """Write the active rows to `rows`; returns how many.

    `history[:n]` are the conversation's model tokens so far, the turn begins at `start`; `depth` counts
    sentences in a rationale and turns elsewhere.
    """
    slot = state * _DEPTHS + min(depth, _DEPTHS - 1)
    previous = int(history[n - 1]) if n > 0 else -1
    voice, noted = steering[0], steering[1]
    gram = 0
    rows[0] = _key(1, slot, voice, 0, 0)
    rows[1] = _key(2, slot, previous, voice, 0)
    count = 2

    for order in range(1, _ORDERS + 1):
        token = int(history[n - order]) if n >= order else -1
        gram = (gram * 1000003 + token + 7) & 0x3FFFFFFFFFFF
        rows[count] = -order - 8 * gram  # below zero, apart from all keys
        count += 1

    for j in range(_WIDTH):
        if columns[j]:
            rows[count] = _key(4, j, columns[j], slot, 0)
            rows[count + 1] = _key(5, j, columns[j], previous, 0)
            count += 2
    for j in range(3):
        if columns[_CPA[j]] or columns[_ROAS[j]]:
            rows[count] = _key(6, j, columns[_CPA[j]], columns[_ROAS[j]], slot)
            count += 1
    for j in range(3):
        level = _level(columns, j)
        if level:
            rows[count] = _key(20, j, steering[2], level, slot)
            count += 1
    rows[count] = _key(21, steering[2], _level(columns, 0), _level(columns, 2), slot)
    count += 1
    rows[count] = _key(7, columns[_PHASE], columns[_STATUS], columns[_KNOWN], slot)
    count += 1
    if voice == ANALYST_VOICE:  # what an analyst is asked for: how the latest day differs from the week
        moved = 20 + _level(columns, 0) - _level(columns, 2)
        rows[count] = _key(22, moved, slot, 0, 0)
        rows[count + 1] = _key(23, moved, previous, 0, 0)
        count += 2

    if noted:
        for j in range(2, 6):
            if steering[j]:
                rows[count] = _key(8, j, steering[j], slot, voice)
                rows[count + 1] = _key(9, j, steering[j], previous, voice)
                count += 2
        rows[count] = _key(10, steering[2], steering[3], steering[4] * 2 + steering[5], slot)
        rows[count + 1] = _key(11, slot, previous, voice, 0)
        count += 2
        if voice == 1:
            for j in range(3):
                named = 1 if steering[4] == j + 1 else 0
                value = columns[_CPA[j]] * 16 + columns[_ROAS[j]]
                rows[count] = _key(12, j * 2 + named, steering[2], value, slot)
                count += 1

    last_pointer = -1
    first_window = 0
    cited = 0
    for i in range(start, n):
        token = int(history[i])
        if KIND[token] == POINTER:
            if first_window == 0:
                first_window = POINTER_WINDOW[token]
            last_pointer = token
            if cited < 5 and state != CITING:
                cited += 1
                column = POINTER_COLUMN[token]
                bucket = columns[column] if column >= 0 else 0
                rows[count] = _key(13, token, bucket, slot, 0)
                count += 1
                if state == ARGUING:
                    rows[count] = _key(14, token, bucket, previous, steering[2])
                    count += 1
        elif token == _CITED and state != CITING:
            break
    if last_pointer >= 0:
        column = POINTER_COLUMN[last_pointer]
        bucket = columns[column] if column >= 0 else 0
        rows[count] = _key(15, last_pointer, bucket, previous, 0)
        rows[count + 1] = _key(16, first_window, last_pointer, slot, steering[4])
        rows[count + 2] = _key(17, first_window, previous, columns[_STATUS], 0)
        count += 3

    if state == CITING:
        rows[count] = _key(18, _next_uncited(history, start, n), 0, 0, 0)
        count += 1
    elif state in (NAMING, CHOOSING, JUDGING):
        for i in range(start, n):
            token = int(history[i])
            if token == _CITED:
                break
            if count < MAXIMUM_ACTIVE and not _before(history, start, i, token):
                rows[count] = _key(19, token, state, 0, 0)
                count += 1
    if voice == ANALYST_VOICE:
        _hash(rows, count, AGENT_ROWS, ANALYST_ROWS)
    else:
        _hash(rows, count, 0, AGENT_ROWS)
    return count
