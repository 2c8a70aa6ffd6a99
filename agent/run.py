"""The types of a run: the agent, its limits and price, its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from agent.decision import Decision
from agent.ports import ToolBox
from agent.settings import RUN_BYTES, ReplaySettings
from agent.spec import AgentSpec
from schemas.identity import canonical_json, sha256
from schemas.records import IntendedWrite, SubAgentRun, TraceStatus, Turn, Usage


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """An agent as the runtime needs it; its three contents are artifacts."""

    spec: AgentSpec
    system_prompt: str
    declarations: Sequence[Mapping[str, Any]]

    @property
    def prompt_id(self) -> str:
        """sha256 of the system prompt."""
        return sha256(self.system_prompt)

    @property
    def toolset_id(self) -> str:
        """sha256 of the canonical JSON of the tool declarations."""
        return sha256(canonical_json(list(self.declarations)))


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of one unit of `currency` for a million tokens."""

    currency: str
    input: int
    cached: int
    output: int

    def of(self, usage: Usage) -> int:
        """The cost of `usage` in millionths of a unit; thought is paid as output."""
        cached = usage.cached_tokens or 0
        fresh = max(0, (usage.input_tokens or 0) - cached)
        generated = (usage.output_tokens or 0) + (usage.thought_tokens or 0)
        return round((fresh * self.input + cached * self.cached + generated * self.output) / 1_000_000)


def priced(usage: Usage, price: Price | None) -> Usage:
    """`usage` with its cost; as it is where the price is not known."""
    if price is None:
        return usage
    return usage.model_copy(update={"cost_micros": price.of(usage), "cost_currency": price.currency})


def summed(one: Usage, other: Usage) -> Usage:
    """The sum of two usages; a figure that neither has stays absent."""

    def add(left: int | None, right: int | None) -> int | None:
        return None if left is None and right is None else (left or 0) + (right or 0)

    return Usage(
        input_tokens=add(one.input_tokens, other.input_tokens),
        cached_tokens=add(one.cached_tokens, other.cached_tokens),
        output_tokens=add(one.output_tokens, other.output_tokens),
        thought_tokens=add(one.thought_tokens, other.thought_tokens),
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )


def price_of(settings: ReplaySettings, model: str) -> Price | None:
    """The price of a model in US dollars; None where the settings have none: then money is not limited."""
    found = settings.prices.get(model)
    if found is None:
        return None
    cached = found.input if found.cached is None else found.cached
    return Price("USD", found.input, cached, found.output)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run. Money is in millionths of a unit of the price's currency, and is limited only where
    the model's price is known."""

    max_turns: int = 24
    max_output_tokens: int = 100_000
    max_seconds: float = 600.0
    max_cost_micros: int | None = None
    tool_seconds: float = 30.0
    max_response_bytes: int = 256 * 1024
    max_run_bytes: int = RUN_BYTES
    """Bytes that opoi and an agent over HTTP may exchange, both ways."""
    max_corrections: int = 2
    """How often a model may correct an invalid decision; it is told what is wrong."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of one run. `decision` is the last valid one, even if the run failed after it; `reason`
    is set where status is not `completed`. The usage counts the sub-agents' too."""

    status: TraceStatus
    reason: str | None
    turns: tuple[Turn, ...]
    sub_agent_runs: tuple[SubAgentRun, ...]
    decision: Decision | None
    usage: Usage
    attempts: int
    misses: int
    intended_writes: tuple[IntendedWrite, ...]
    started_at: datetime
    finished_at: datetime


class AgentRuntime(Protocol):
    """What runs an agent from the beginning: the loop in this process, or the agent's own service."""

    def run(
        self, agent: AgentDefinition, question: Turn, tools: ToolBox, *, model_name: str, run_id: str
    ) -> Run:
        """Lets the agent answer `question`; seeds follow from `run_id`.

        Raises ModelAway and QuotaExceeded where the run says nothing about the agent.
        """
