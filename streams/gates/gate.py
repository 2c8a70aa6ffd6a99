"""Input and result of a gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.identity import content_hash
from schemas.records import Action, AgentDecision, ExpertVerdict, GateOutcome, Part, Turn
from streams.gates.reason_codes import ReasonCode


@dataclass(frozen=True, slots=True)
class GateResult:
    """Result of one gate; `reason_code` is `ok` if it passed."""

    gate: str
    version: str
    outcome: GateOutcome
    reason_code: ReasonCode
    input_hash: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the conversation passed."""
        return self.outcome == "pass"


@dataclass(frozen=True, slots=True)
class Common:
    """Texts that every run of an agent shares; a copy of them is no leak."""

    prompt: str
    """The system prompt."""
    toolset: str
    """The tool declarations, as JSON."""
    spec: str
    """The AgentSpec's YAML."""
    actions: frozenset[str]
    """The AgentSpec's action enumeration."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A conversation to judge, before anything is removed from it."""

    turns: tuple[Turn, ...]
    """The run's own turns, with its rationale in the last one."""
    action: Action | None
    """The run's action; None if it ended without one."""
    decision: AgentDecision
    """Production's decision, with its own turns and action, which the run replays."""
    verdict: ExpertVerdict
    common: Common
    hinted: bool
    """Whether the run had an oracle."""

    @property
    def oracle(self) -> str:
        """The oracle's text; empty if there is none."""
        return "\n".join(part.text or "" for turn in self.turns for part in turn.parts if part.is_oracle)


def generated_text(part: Part) -> str:
    """Text of the model in a part: its text, or the arguments of its call."""
    return part.text or part.arguments_json or ""


def turns_hash(turns: tuple[Turn, ...]) -> str:
    """sha256 over the canonical JSON of a conversation, without its log-probabilities.

    Log-probabilities may be infinite, which JSON cannot carry, and no gate reads them.
    """
    return content_hash([turn.model_dump(mode="json", exclude={"log_probabilities"}) for turn in turns])
