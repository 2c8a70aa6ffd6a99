"""The decision that an agent writes: a JSON object whose rationale comes before the action."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.spec import AgentSpec
from schemas.identity import canonical_json
from schemas.records import Action


class InvalidDecision(ValueError):
    """A text that is no decision of this agent; the text says why, in one line."""


class CitedMetric(BaseModel):
    """A figure that the rationale is based on, and the tool that it was read from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    window: str
    value: float | str
    source: str


class _ActionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    target: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class _DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rationale: str = Field(min_length=1)
    cited_metrics: tuple[CitedMetric, ...]
    action: _ActionBody


@dataclass(frozen=True, slots=True)
class Decision:
    """A valid decision; `write` is the tool call that carries it out, None where it changes nothing."""

    rationale: str
    cited_metrics: tuple[CitedMetric, ...]
    action: Action
    write: tuple[str, Mapping[str, Any]] | None


Read = Callable[[AgentSpec, str], Decision]
"""How a model's text becomes a decision. Raises InvalidDecision."""


def read_decision(spec: AgentSpec, text: str) -> Decision:
    """The decision in `text`. Raises InvalidDecision."""
    try:
        body = _DecisionBody.model_validate(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidDecision(f"the decision is no JSON: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidDecision(f"the decision breaks its contract: {faults}") from error
    return _checked(spec, body)


def _checked(spec: AgentSpec, body: _DecisionBody) -> Decision:
    name, arguments = body.action.name, body.action.arguments
    known = spec.actions.get(name)
    if known is None:
        raise InvalidDecision(f"action {name!r} is none of {', '.join(spec.actions)}")
    if arguments.keys() != known.arguments.keys():
        raise InvalidDecision(f"action {name!r} takes {sorted(known.arguments)}, not {sorted(arguments)}")
    for argument, rule in known.arguments.items():
        fault = rule.fault(arguments[argument])
        if fault:
            raise InvalidDecision(f"argument {argument!r} of {name!r} {fault}")
    try:
        action = Action(name=name, target=body.action.target, arguments_json=canonical_json(arguments))
    except ValueError as error:
        raise InvalidDecision(f"the arguments of {name!r} have no canonical form: {error}") from error
    return Decision(body.rationale, body.cited_metrics, action, spec.expected_write(action, arguments))
