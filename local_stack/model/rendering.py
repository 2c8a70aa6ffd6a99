"""Converts a model turn to Gemini parts and back, with the numbers of its request."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_stack.model import text
from local_stack.model.facts import Facts
from local_stack.model.vocabulary import (
    ACTION,
    ASKED_STEP,
    CALL,
    CITED,
    CLOSE,
    END,
    FINAL,
    FIRST,
    ID,
    KIND,
    NAME,
    NAMES,
    NO_STEP,
    OPEN,
    POINTER,
    POINTERS,
    STEP,
    TREND,
    UNKNOWN,
    VIEW,
    WRITE,
    pointer_name,
)  # fmt: skip

Part = dict[str, Any]
_FIELDS = ["spend", "impressions", "clicks", "actions", "purchase_roas"]
_LEVEL_FIELDS = ["spend", "impressions", "actions", "action_values"]
_RATIONALE, _FINDING = ID["<rationale>"], ID["<finding>"]
_DONE = "Done."
_POINTER_OF = {ID[pointer_name(*pointer)]: pointer for pointer in POINTERS}
_END = FIRST[END]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A turn as parts, and the text of each token (for a call: its name)."""

    parts: list[Part]
    pieces: list[str]


def render(tokens: Sequence[int], facts: Facts) -> Rendered:
    """The parts of a turn; a turn cut short by a token limit gives text that is cut short."""
    surfaces = facts.surfaces()
    steps = facts.steps()
    calls: list[Part] = []
    pieces: list[str] = []
    rationale = _rationale(tokens)
    spoken = iter(text.write([tokens[place] for place in rationale], surfaces))
    name = ""
    arguments: dict[str, Any] = {}
    for place, token in enumerate(tokens):
        kind = KIND[token]
        if place in rationale:
            pieces.append(next(spoken))
        elif kind == OPEN:
            pieces.append('{"rationale": "' if token == _RATIONALE else '{"finding": "')
        elif kind == CITED:
            pieces.append('", "cited_metrics": [')
        elif kind == POINTER:
            comma = ", " if KIND[tokens[place - 1]] == POINTER else ""
            pieces.append(comma + json.dumps(_citation(token, facts)))
        elif kind == ACTION:
            pieces.append('], "action": {"name": "')
        elif kind == TREND:
            pieces.append('], "trend": "')
        elif kind == VIEW:
            pieces.append(f'{NAMES[token].strip("<>")}"}}')
        elif kind == NAME:
            name = NAMES[token]
            pieces.append(name)
        elif kind in (STEP, CLOSE):
            budget = steps.get(NAMES[token])
            arguments = {} if budget is None else {"daily_budget": budget}
            target = json.dumps(facts.campaign_id)
            pieces.append(f'", "target": {target}, "arguments": {json.dumps(arguments)}}}}}')
        elif kind == FINAL:
            pieces.append(_DONE)
        elif kind in (CALL, WRITE):
            calls.append({"functionCall": _call(NAMES[token], name, arguments, facts)})
            pieces.append("")
        else:
            pieces.append("")
    spoken_text = "".join(pieces)
    parts: list[Part] = [{"text": spoken_text}] if spoken_text else []
    shown = [
        f"<{NAMES[token]}>" if KIND[token] in (CALL, WRITE) else piece or NAMES[token]
        for token, piece in zip(tokens, pieces, strict=True)
    ]
    return Rendered(parts + calls, shown)


def _rationale(tokens: Sequence[int]) -> range:
    """The places of the rationale's tokens."""
    begin = next((place + 1 for place, token in enumerate(tokens) if KIND[token] == OPEN), None)
    if begin is None:
        return range(0)
    ends = (place for place in range(begin, len(tokens)) if KIND[tokens[place]] in (CITED, END))
    return range(begin, next(ends, len(tokens)))


def _citation(token: int, facts: Facts) -> dict[str, Any]:
    metric, window = _POINTER_OF[token]
    value = facts.number(metric, window)
    whole = value is not None and metric == "conversions" and value.is_integer()
    shown = int(value) if value is not None and whole else value
    return {"metric": metric, "window": window, "value": shown, "source": "get_insights"}


def _call(token: str, action: str, arguments: dict[str, Any], facts: Facts) -> dict[str, Any]:
    name, _, window = token.partition(" ")
    sent: dict[str, Any]
    match name:
        case "get_insights" if window == "adset":
            sent = {"entity_id": facts.campaign_id, "level": window, "date_preset": "last_7d"}
            sent |= {"fields": _LEVEL_FIELDS}
        case "get_breakdown":
            sent = {"entity_id": facts.campaign_id, "breakdowns": ["age"], "date_preset": "last_7d"}
            sent |= {"fields": _LEVEL_FIELDS}
        case "get_insights":
            daily = {} if window == "yesterday" else {"time_increment": 1}
            sent = {"entity_id": facts.campaign_id, "date_preset": window, **daily, "fields": _FIELDS}
        case "ask_performance_analyst":
            sent = {"window": window, "focus": "trend"}
        case "ask_delivery_analyst":
            sent = {"window": "last_7d", "focus": "learning"}
        case "get_account":
            sent = {"account_id": facts.account_id}
        case "get_change_history":
            sent = {"account_id": facts.account_id, "campaign_id": facts.campaign_id}
        case "get_campaign" | "get_ad_sets" | "get_ads":
            sent = {"campaign_id": facts.campaign_id}
        case "set_status":
            status = "PAUSED" if action == "pause" else "ACTIVE"
            sent = {"campaign_id": facts.campaign_id, "status": status}
        case _:
            sent = {"campaign_id": facts.campaign_id, **arguments}
    return {"name": name, "args": sent}


def parse(parts: Iterable[Mapping[str, Any]], facts: Facts, *, closing: bool) -> list[int]:
    """The tokens of a model turn; the inverse of `render` for whatever the model wrote itself.

    `closing`: the turn follows a write call, so a plain text is the model's closing text.
    """
    tokens: list[int] = []
    for part in parts:
        if part.get("thought"):
            continue
        call = part.get("functionCall") or part.get("function_call")
        if isinstance(call, Mapping):
            tokens.append(_parse_call(call))
        elif isinstance(part.get("text"), str):
            tokens.extend(_parse_text(part["text"], facts, closing))
    return [*tokens, _END]


def _parse_call(call: Mapping[str, Any]) -> int:
    name = str(call.get("name", ""))
    arguments = call.get("args") or {}
    if name == "get_insights":
        name = f"{name} {arguments.get('level') or arguments.get('date_preset')}"
    elif name == "ask_performance_analyst":
        name = f"{name} {arguments.get('window')}"
    return ID[name] if name in ID and KIND[ID[name]] in (CALL, WRITE) else FIRST[UNKNOWN]


def _parse_text(spoken: str, facts: Facts, closing: bool) -> list[int]:
    surfaces = facts.surfaces()
    stripped = spoken.strip()
    if stripped.startswith("{"):
        try:
            decision = json.loads(stripped)
        except ValueError:
            for opening, head in ((_RATIONALE, '{"rationale": "'), (_FINDING, '{"finding": "')):
                if stripped.startswith(head):
                    return [opening, *text.read(stripped.removeprefix(head), surfaces)]
            return text.read(spoken, surfaces)
        if isinstance(decision, dict) and "action" in decision:
            return _parse_decision(decision, facts, surfaces)
        if isinstance(decision, dict) and "trend" in decision:
            return _parse_finding(decision, facts, surfaces)
    if closing and stripped == _DONE:
        return [FIRST[FINAL]]
    return text.read(spoken, surfaces)


def _parse_decision(decision: dict[str, Any], facts: Facts, surfaces: Mapping[str, str]) -> list[int]:
    action = decision["action"] if isinstance(decision["action"], dict) else {"name": decision["action"]}
    tokens = [_RATIONALE, *text.read(str(decision.get("rationale", "")), surfaces)]
    tokens += _parse_cited(decision.get("cited_metrics"), facts)
    name = str(action.get("name"))
    known = name in ID and KIND[ID[name]] == NAME
    tokens += [FIRST[ACTION], ID[name] if known else FIRST[UNKNOWN]]
    return [*tokens, _parse_arguments(name, action.get("arguments"), facts)]


def _parse_finding(finding: dict[str, Any], facts: Facts, surfaces: Mapping[str, str]) -> list[int]:
    tokens = [_FINDING, *text.read(str(finding.get("finding", "")), surfaces)]
    trend = ID.get(f"<{finding['trend']}>", FIRST[UNKNOWN])
    return [*tokens, *_parse_cited(finding.get("cited_metrics"), facts), FIRST[TREND], trend]


def _parse_cited(cited: object, facts: Facts) -> list[int]:
    citations = [one for one in cited if isinstance(one, dict)] if isinstance(cited, list) else []
    return [FIRST[CITED], *(_parse_citation(citation, facts) for citation in citations)]


def _parse_citation(citation: dict[str, Any], facts: Facts) -> int:
    name = next(
        (
            pointer_name(*pointer)
            for pointer in POINTERS
            if pointer == (citation.get("metric"), citation.get("window"))
        ),
        None,
    )
    if name is None or facts.number(*_POINTER_OF[ID[name]]) != citation.get("value"):
        return FIRST[UNKNOWN]
    return ID[name]


def _parse_arguments(name: str, arguments: object, facts: Facts) -> int:
    """The token of the action's arguments; a budget that is no step of the model's becomes the nearest."""
    if not name.startswith("scale"):
        return FIRST[CLOSE]
    budget = arguments.get("daily_budget") if isinstance(arguments, dict) else None
    steps = facts.steps()
    if not isinstance(budget, int | float) or not steps:
        return ID[NO_STEP]
    if steps.get(ASKED_STEP) == budget:
        return ID[ASKED_STEP]
    return ID[min(steps, key=lambda step: abs(steps[step] - budget))]
