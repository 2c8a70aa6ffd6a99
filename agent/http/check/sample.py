"""The decision that an agent is checked on: what it is asked, and what its tools answered then."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import Field, JsonValue, ValidationError

from agent.http.contract import ContractModel
from agent.http.exchange import faults
from agent.run import AgentDefinition
from agent.spec import SpecError
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json
from schemas.record import Timestamp
from schemas.records import Action, AgentDecision, Part, SnapshotEntry, Turn, Usage

FILE = "sample.yaml"


class SampleAnswer(ContractModel):
    """One read at the time of the decision."""

    tool: str
    """Name of the tool."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Its arguments."""
    response: JsonValue
    """What it answered."""


class Sample(ContractModel):
    """A decision to check with; `sample.yaml` beside the AgentSpec."""

    account_id: str
    """Account that the decision is about."""
    account_time_zone: str = "UTC"
    """IANA name."""
    currency: str = "EUR"
    """ISO 4217 code."""
    decided_at: Timestamp = datetime(2026, 1, 15, 12, tzinfo=UTC)
    """When it was made."""
    input: JsonValue
    """What the agent is asked, as data."""
    question: str
    """What the agent is asked, as the text of the first user turn."""
    model: str = "check"
    """Model that is to run."""
    generation_config: dict[str, JsonValue] = Field(default_factory=dict)
    """How it generates."""
    answers: tuple[SampleAnswer, ...] = ()
    """What the tools can answer; everything else is a miss."""


def read_sample(folder: Traversable, name: str = FILE) -> Sample:
    """The sample in `folder`. Raises SpecError."""
    file = folder.joinpath(name)
    try:
        return Sample.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SpecError(
            f"{file} cannot be read ({error.strerror}): it holds the decision that the agent is checked on"
        ) from error
    except ValidationError as error:
        raise SpecError(f"{file} is no sample: {faults(error)}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{file} is no YAML: {' '.join(str(error).split())}") from error


def decision_of(agent: AgentDefinition, sample: Sample, decision_id: str) -> AgentDecision:
    """The sample as a decision; its tools' answers are the as-of snapshot."""
    return AgentDecision(
        agent=agent.spec.name,
        account_id=sample.account_id,
        decision_id=decision_id,
        agent_version=agent.spec.version,
        account_time_zone=sample.account_time_zone,
        currency=sample.currency,
        segment="check",
        decided_at=sample.decided_at,
        prompt_id=agent.prompt_id,
        toolset_id=agent.toolset_id,
        spec_id=agent.spec.spec_id,
        model=sample.model,
        generation_config_json=canonical_json(sample.generation_config),
        input_json=canonical_json(sample.input),
        turns=(Turn(role="user", parts=(Part(kind="text", text=sample.question),)),),
        snapshot=tuple(_entry(agent, sample, one) for one in sample.answers),
        action=Action(name=next(iter(agent.spec.actions))),
        rationale="",
        usage=Usage(),
    )


def _entry(agent: AgentDefinition, sample: Sample, one: SampleAnswer) -> SnapshotEntry:
    if agent.spec.effect(one.tool) != "read":
        raise SpecError(f"the sample answers {one.tool!r}, which is no read tool of {agent.spec.name}")
    arguments: Mapping[str, Any] = one.arguments
    return SnapshotEntry(
        tool=one.tool,
        arguments_json=canonical_json(dict(arguments)),
        request_hash=canonical_request_hash(agent.spec, one.tool, arguments),
        response_json=json.dumps(one.response, ensure_ascii=False),
        fetched_at=sample.decided_at,
    )
