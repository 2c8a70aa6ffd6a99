"""Whether an agent has repeated the oracle: its nonce anywhere, a line of it in what the agent wrote.

A line that the model repeats in its own words is a leak, which the gates judge; it is no fault
of the agent's.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from agent.http.contract import RunRequest
from agent.http.tools_endpoint import Exchange
from agent.oracle import lines_of, nonce_of
from schemas.identity import canonical_json
from schemas.records import Part, Turn

SHORTEST_LINE = 16
"""Characters; a shorter line may occur anywhere by chance."""


def repeated_oracle(request: RunRequest, turns: Sequence[Turn], exchanges: Sequence[Exchange]) -> str | None:
    """Which part of the oracle is repeated in `turns`, without quoting it; None: no part.

    A line that is also in the question, the decision's input or a tool's answer is data, and may be repeated.
    """
    if request.oracle is None:
        return None
    text = request.oracle.text
    marks = [mark for mark in (nonce_of(text), text) if mark]
    lines = [line for line in lines_of(text) if len(line) >= SHORTEST_LINE]
    data = list(_strings(_data(request, exchanges))) if lines else []
    lines = [line for line in lines if not any(line in one for one in data)]
    for turn in turns:
        for part in turn.parts:
            own = turn.role == "model" and part.kind != "function_call"
            for found in _strings(_texts(part)):
                if any(mark in found for mark in marks):
                    return "the oracle's text"
                if not own and any(line in found for line in lines):
                    return "a line of the oracle"
    return None


def _texts(part: Part) -> list[str]:
    return [one for one in (part.text, part.arguments_json, part.response_json, part.error) if one]


def _data(request: RunRequest, exchanges: Sequence[Exchange]) -> list[str]:
    # an error may repeat what the agent asked, so it is no data
    answers = [one.response.response_json for one in exchanges if one.response.response_json]
    asked = [part.text for part in request.decision.question.parts if part.text]
    return [*asked, canonical_json(request.decision.input), *answers]


def _strings(texts: Iterable[str]) -> Iterator[str]:
    """Each text and, where it is JSON, every string in it, JSON within strings too."""
    left: list[object] = list(texts)
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str):
            yield one
            # a bare number or a word in plain text holds nothing that the text itself does not
            if one.lstrip()[:1] in ("{", "[", '"'):
                left += _decoded(one)


def _decoded(text: str) -> list[object]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []
