"""What the model reads out of a steering note or a bare question: up to three words it knows, by kind."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local_stack.model.phrases import ACTIONS, METRICS, WINDOWS

AGENT_VOICE, BARE_VOICE, ANALYST_VOICE = 1, 2, 3
STEERING = ("voice", "noted", "action", "metric", "window", "elsewhere")
"""The steering columns; 0 where a note does not name that kind."""

_ACTIONS = {
    "scale_up": r"scale[\s_-]*up|scaling up",
    "scale_down": r"scale[\s_-]*down|scaling down",
    "pause": r"pause|pausing",
    "resume": r"resume|resuming",
    "hold": r"hold|holding",
}
_METRICS = {
    "cpa": r"cpa|cost per action|cost_per_action",
    "roas": r"roas|return on ad spend|purchase_roas",
    "spend": r"spend",
    "pace": r"pace|pacing",
    "conversions": r"conversions?",
}
_WINDOWS = {
    "yesterday": r"yesterday(?:'s)?|last day",
    "last_3d": r"last_3d|(?:last |past )?(?:3|three)[\s-]days?",
    "last_7d": r"last_7d|(?:last |past )?(?:7|seven)[\s-]days?|week(?:ly)?",
}
_ELSEWHERE = re.compile(
    r"\b(stock|inventory|supply|warehouse|margins?|season\w*|holiday|event|competitor\w*|tracking|legal"
    r"|brand|creative|website|outage)\b",
    re.IGNORECASE,
)
"""Reasons that no tool of the agent shows."""


@dataclass(frozen=True, slots=True)
class Note:
    """The words of a note that the model knows; None where the note has none of that kind."""

    noted: bool = False
    action: str | None = None
    metric: str | None = None
    window: str | None = None
    elsewhere: bool = False

    def steering(self, voice: int) -> NDArray[np.int16]:
        """The steering columns, in the order of `STEERING`."""
        return np.array(
            [
                voice,
                int(self.noted),
                1 + ACTIONS.index(self.action) if self.action else 0,
                1 + METRICS.index(self.metric) if self.metric else 0,
                1 + WINDOWS.index(self.window) if self.window else 0,
                int(self.elsewhere),
            ],
            np.int16,
        )


def _mentions(text: str, patterns: dict[str, str]) -> list[tuple[int, str]]:
    return sorted(
        (match.start(), name)
        for name, pattern in patterns.items()
        for match in re.finditer(rf"(?<![\w])(?:{pattern})(?![\w])", text, re.IGNORECASE)
    )


def _first(text: str, patterns: dict[str, str]) -> str | None:
    found = _mentions(text, patterns)
    return found[0][1] if found else None


def read_note(text: str) -> Note:
    """The first action, metric and window that the note names."""
    return Note(
        noted=bool(text.strip()),
        action=_first(text, _ACTIONS),
        metric=_first(text, _METRICS),
        window=_first(text, _WINDOWS),
        elsewhere=_ELSEWHERE.search(text) is not None,
    )


def read_order(line: str) -> Note:
    """What an analyst is asked: the window that the first line names."""
    return Note(noted=True, window=_first(line, _WINDOWS))


def read_question(text: str) -> Note:
    """What a bare question asks for: the last action it names, since a verdict stands after the decision."""
    found = _mentions(text, _ACTIONS)
    return Note(noted=bool(found), action=found[-1][1] if found else None)
