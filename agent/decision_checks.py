"""Checks a decision beyond its form: against the AgentSpec and the answers in the conversation.

A decision that fails is not carried out; the model gets the error and may write the decision again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.decision import CitedMetric, Decision, InvalidDecision
from agent.spec import AgentSpec, Change
from schemas.records import Turn


def check_decision(
    spec: AgentSpec, decision: Decision, values: Mapping[str, Any], turns: Sequence[Turn]
) -> None:
    """Checks `decision` against the spec, the decision's input and the answers so far.

    Raises InvalidDecision with a text for the model.
    """
    bounds = spec.decision
    if len(decision.rationale) > bounds.rationale_characters:
        raise InvalidDecision(
            f"the rationale has {len(decision.rationale)} characters; at most "
            f"{bounds.rationale_characters} are allowed, so say it shorter"
        )
    asked = values.get(bounds.target) if bounds.target else None
    if asked is not None and decision.action.target != asked:
        raise InvalidDecision(f"the target is {decision.action.target!r}; the request is about {asked!r}")
    check_cited(spec, decision.cited_metrics, turns)
    known = spec.actions[decision.action.name]
    for tool in known.needs:
        if not any(True for _ in answers(turns, tool)):
            raise InvalidDecision(
                f"{decision.action.name!r} needs an answer of {tool} first; call it, or hold"
            )
    arguments = json.loads(decision.action.arguments_json)
    for name, change in known.changes.items():
        _check_change(decision.action.name, name, arguments[name], change, turns)


def check_cited(spec: AgentSpec, cited: Sequence[CitedMetric], turns: Sequence[Turn]) -> None:
    """Each cited metric has a name and a window of the spec and a tool that has answered. Raises
    InvalidDecision."""
    if len(cited) > spec.decision.cited_metrics:
        raise InvalidDecision(
            f"{len(cited)} metrics are cited; at most {spec.decision.cited_metrics} are allowed"
        )
    for one in cited:
        if spec.terms.metrics and one.metric not in spec.terms.metrics:
            raise InvalidDecision(f"cited metric {one.metric!r} is none of {', '.join(spec.terms.metrics)}")
        if spec.terms.windows and one.window not in spec.terms.windows:
            raise InvalidDecision(f"cited window {one.window!r} is none of {', '.join(spec.terms.windows)}")
        if not any(True for _ in answers(turns, one.source)):
            raise InvalidDecision(
                f"{one.metric} over {one.window} is cited from {one.source!r}, which has not answered here; "
                "cite the tool that the figure was read from"
            )


def answers(turns: Sequence[Turn], tool: str) -> Iterator[Any]:
    """What `tool` has answered so far, oldest first; errors are no answers."""
    for turn in turns:
        for part in turn.parts:
            if part.kind == "function_response" and part.tool == tool and part.response_json is not None:
                yield json.loads(part.response_json)


def _check_change(action: str, name: str, value: float, change: Change, turns: Sequence[Turn]) -> None:
    present = None
    for answer in answers(turns, change.tool):
        found = answer.get(change.field) if isinstance(answer, Mapping) else None
        present = _number(found) if found is not None else present
    if not present:
        raise InvalidDecision(
            f"{action!r} needs the present {change.field}, which {change.tool} has not answered; hold instead"
        )
    percent = 100 * (value / present - 1)
    slack = 100 / present  # amounts are whole, so a rounded one may lie past the bound by less than one
    if not change.least - slack <= percent <= change.most + slack:
        raise InvalidDecision(
            f"{name} {value} is {percent:+.1f}% of the present {present:g}; {action!r} takes "
            f"{change.least:+g}% to {change.most:+g}%"
        )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
