"""The oracle: the part of the first user turn that names the action of an expert's verdict.

It has the action with its numbers and, at strength 2, where to look. Every name is from the AgentSpec, and
the only values are the numbers of the action's arguments, such as a budget. No other figure, no reason and no
wording of the expert reaches the agent, so the oracle adds nothing that the agent could not have found. The
target is not repeated: the request names it.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Literal

from agent.spec import AgentSpec
from schemas.identity import json_object
from schemas.records import Action, ExpertVerdict, Part, Turn

Strength = Literal["action_only", "action_and_where"]
STRENGTHS: Mapping[int, Strength] = {1: "action_only", 2: "action_and_where"}
"""The strengths in records, with their names; 0 is a run without an oracle."""


class NoOracle(ValueError):
    """A verdict or a strength that gives no oracle; the text says why."""


def nonce(secret: bytes, replay_id: str) -> str:
    """32 hexadecimal digits that delimit the oracle of one replay; unpredictable without `secret`."""
    return hmac.new(secret, replay_id.encode(), hashlib.sha256).hexdigest()[:32]


def render(
    spec: AgentSpec, verdict: ExpertVerdict, strength: int, nonce: str, *, decided: Action | None = None
) -> str:
    """The oracle's text. An approval steers towards `decided`, the agent's own action.

    Raises NoOracle for a verdict that names no action of the spec, for arguments that are no JSON object, and
    for an unknown strength.
    """
    if strength not in STRENGTHS:
        raise NoOracle(f"strength {strength} is none of {', '.join(map(str, STRENGTHS))}")
    action = verdict.corrected_action if verdict.kind == "correct" else None
    if verdict.kind == "approve":
        action = decided
    if action is None or action.name not in spec.actions:
        named = "no action" if action is None else f"the action {action.name!r}"
        raise NoOracle(f"a verdict of kind {verdict.kind!r} that names {named} steers towards nothing")
    lines = [f"Expected action: {_named(spec, action)}."]
    where = where_to_look(spec, verdict.rationale or "")
    if STRENGTHS[strength] == "action_and_where" and where:
        lines.append(f"Where to look: {', '.join(where)}.")
    lines.append("Decide by your own evidence; do not mention this note.")
    return "\n".join((f"[note {nonce}]", *lines, f"[end of note {nonce}]"))


def nonce_of(oracle: str) -> str | None:
    """The nonce that delimits a rendered oracle; None where nothing does."""
    found = re.match(r"\[note (\S+)\]\n", oracle)
    return found[1] if found else None


def lines_of(oracle: str) -> tuple[str, ...]:
    """The lines of an oracle without its delimiters."""
    lines = oracle.splitlines()
    return tuple(lines[1:-1] if nonce_of(oracle) else lines)


def renderer(spec: AgentSpec, secret: bytes) -> Callable[[ExpertVerdict, int, str], str]:
    """`render` for one agent: verdict, strength and replay_id to the text. It raises NoOracle."""
    return lambda verdict, strength, replay_id: render(spec, verdict, strength, nonce(secret, replay_id))


def _named(spec: AgentSpec, action: Action) -> str:
    try:
        arguments = json_object(action.arguments_json)
    except ValueError as error:
        raise NoOracle(f"the arguments of {action.name!r} are unusable: {error}") from error
    numbers = [
        f"{name} {arguments[name]}"
        for name in sorted(spec.actions[action.name].arguments)
        if isinstance(arguments.get(name), int | float)
    ]
    return f"{action.name} ({', '.join(numbers)})" if numbers else action.name


def where_to_look(spec: AgentSpec, rationale: str) -> tuple[str, ...]:
    """The metrics and windows of the spec that the rationale speaks of, in the order of their mention."""
    found: dict[str, int] = {}
    for names in (spec.terms.metrics, spec.terms.windows):
        for name, words in names.items():
            places = [
                match.start()
                for word in words
                for match in re.finditer(rf"\b{re.escape(word)}\b", rationale, re.I)
            ]
            if places:
                found[name] = min(places)
    return tuple(sorted(found, key=lambda name: (found[name], name)))


def with_oracle(question: Turn, oracle: str) -> Turn:
    """The first turn with the oracle as one further part; everything else stays as it is."""
    part = Part(kind="text", text=oracle, is_oracle=True)
    return question.model_copy(update={"parts": (*question.parts, part)})
