"""Dependencies of the trigger and the sanitizer; each is a pure function of content."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.record import Record
from schemas.records import Action, AgentDecision, ExpertVerdict, Review
from streams.gates.gate import Common

Decode = Callable[[str, bytes], Record]
"""Logical topic and framed value to the record."""
RenderOracle = Callable[[AgentDecision, ExpertVerdict, int, str], str]
"""Decision, verdict, strength and replay_id to the oracle's text."""
ActionsMatch = Callable[[AgentDecision, Action, Action], bool]
"""Whether two actions are the same by the AgentSpec of the decision."""
CommonOf = Callable[[AgentDecision], Common]
"""Prompt, tools and spec of a decision's agent, from the artifacts."""
ActionsOf = Callable[[AgentDecision], frozenset[str]]
"""The action enumeration of a decision's AgentSpec; needs neither its prompt nor its tools."""

SpendOf = Callable[[AgentDecision], float]
"""The money that a decision moves, in minor units, by its AgentSpec; 0 if it moves none."""
IsRemote = Callable[[AgentDecision], bool]
"""Whether a decision's agent is served over HTTP: its runs always begin with the question."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All dependencies."""

    decode: Decode
    render_oracle: RenderOracle
    actions_match: ActionsMatch
    common_of: CommonOf
    actions_of: ActionsOf
    spend_of: SpendOf
    is_remote: IsRemote

    def decision(self, value: bytes) -> AgentDecision:
        """An embedded decision."""
        found = self.decode("agent.decisions", value)
        assert isinstance(found, AgentDecision)
        return found

    def review(self, value: bytes) -> Review:
        """An embedded review."""
        found = self.decode("opoi.reviews", value)
        assert isinstance(found, Review)
        return found
