"""The model's tokens: words, pointers to the request's numbers, tool calls, and the glue of a decision.

A token has a kind, which drives the grammar, and a group: a bit that says whether the request offers what the
token stands for (a pointer needs its number, a call its declared tool). Group 0 is always there.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from local_stack.model import phrases
from local_stack.model.phrases import ACTIONS, METRICS, STEPS, WINDOWS

(
    UNKNOWN, END, CALL, OPEN, STOP, CITED, ACTION, POINTER, REFERENCE, WORD, NAME, STEP, CLOSE, WRITE, FINAL,
    TREND, VIEW,
) = range(17)  # fmt: skip
"""Kinds of tokens; the last two are an analyst's, in the place of action and name."""
KINDS = 17

KIND_NAMES = (
    "unknown", "end", "call", "glue", "rationale", "glue", "glue", "number", "number", "rationale", "action",
    "arguments", "arguments", "call", "final", "glue", "trend",
)  # fmt: skip
"""Names of the kinds in answers of the scoring endpoint."""

POINTERS = tuple((metric, window) for metric in METRICS for window in WINDOWS)
REFERENCES = ("cpa_target", "roas_target", "budget_now")
SHORT_WINDOWS = {"yesterday": "1d", "last_3d": "3d", "last_7d": "7d"}
READ_CALLS = (
    *(f"get_insights {window}" for window in WINDOWS),
    "get_insights adset",
    "get_campaign",
    "get_ad_sets",
    "get_ads",
    "get_account",
    "get_breakdown",
    "get_change_history",
    *(f"ask_performance_analyst {window}" for window in WINDOWS),
    "ask_delivery_analyst",
)
DECIDES = ("<rationale>", "<action>")
REPORTS = ("<finding>", "<trend>")
"""The glue of a decision and of an analyst's finding; a request offers one of the two."""
WRITE_CALLS = ("set_daily_budget", "set_status")
ASKED_STEP = "step_asked"
NO_STEP = "step_none"

_PLACEHOLDER = re.compile(r"\{\w+\}")


def _words() -> list[str]:
    """Every plain word of the phrases, sorted."""

    def texts(value: object) -> Iterable[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from (text for item in value.values() for text in texts(item))
        elif isinstance(value, tuple):
            yield from (text for item in value for text in texts(item))

    spoken = {
        name: value
        for name, value in vars(phrases).items()
        if name.isupper() and name not in ("ACTIONS", "METRICS", "WINDOWS", "WINDOW_DAYS", "STEPS")
    }
    found = {word for value in spoken.values() for text in texts(value) for word in text.split()}
    return sorted(word for word in found if word != "." and not _PLACEHOLDER.fullmatch(word))


def pointer_name(metric: str, window: str) -> str:
    """The token's name of a metric over a window, such as `cpa_7d`."""
    return f"{metric}_{SHORT_WINDOWS[window]}"


def step_name(percent: int) -> str:
    """The token's name of a budget step, such as `step+20`."""
    return f"step{percent:+d}"


# what a rationale can hold stands together, so that the inner loops run over one range
_LAYOUT: tuple[tuple[int, tuple[str, ...]], ...] = (
    (UNKNOWN, ("<unk>",)),
    (END, ("<end>",)),
    (CALL, READ_CALLS),
    (OPEN, ("<rationale>", "<finding>")),
    (STOP, (".",)),
    (CITED, ("<cited>",)),
    (ACTION, ("<action>",)),
    (TREND, ("<trend>",)),
    (POINTER, tuple(pointer_name(*pointer) for pointer in POINTERS)),
    (REFERENCE, REFERENCES),
    (WORD, tuple(_words())),
    (NAME, ACTIONS),
    (VIEW, ("<up>", "<flat>", "<down>")),
    (STEP, (*(step_name(percent) for percent in STEPS), ASKED_STEP, NO_STEP)),
    (CLOSE, ("<close>",)),
    (WRITE, WRITE_CALLS),
    (FINAL, ("<done>",)),
)
NAMES: tuple[str, ...] = tuple(name for _, names in _LAYOUT for name in names)
ID: dict[str, int] = {name: number for number, name in enumerate(NAMES)}
SIZE = len(NAMES)
KIND = np.array([kind for kind, names in _LAYOUT for _ in names], np.int8)
_GROUPED = (CALL, OPEN, ACTION, TREND, POINTER, REFERENCE, STEP, WRITE)
GROUP = np.zeros(SIZE, np.int8)
GROUP[np.isin(KIND, _GROUPED)] = np.arange(1, int(np.isin(KIND, _GROUPED).sum()) + 1)
FIRST = {kind: int(np.flatnonzero(kind == KIND)[0]) for kind in range(KINDS)}
LAST = {kind: int(np.flatnonzero(kind == KIND)[-1]) for kind in range(KINDS)}
STEP_PERCENT = np.zeros(SIZE, np.int16)
STEP_PERCENT[FIRST[STEP] : FIRST[STEP] + len(STEPS)] = STEPS

if len(ID) != SIZE or int(GROUP.max()) > 62:
    raise ValueError("the vocabulary names a token twice or has more groups than an int64 mask has bits")


def bit(name: str) -> int:
    """The bit of the token `name` in a request's availability mask."""
    return 1 << int(GROUP[ID[name]])


def tokens(text: str) -> list[int]:
    """The ids of a text of token names with spaces between them; KeyError for a name that is none."""
    return [ID[name] for name in text.split()]
