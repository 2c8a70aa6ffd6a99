"""A model and tools without a network, for tests and experiments.

The scripted model gives its replies in order, whatever it is asked.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.ports import Message, ModelReply, ModelRequest, ToolAnswer
from agent.spec import AgentSpec
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json
from schemas.records import Effect, IntendedWrite, Part, Turn, Usage


def text(words: str) -> Part:
    """A text part."""
    return Part(kind="text", text=words)


def call(tool: str, **arguments: Any) -> Part:
    """A function call part."""
    return Part(kind="function_call", tool=tool, arguments_json=canonical_json(arguments))


def says(*parts: Part, finish_reason: str = "STOP", output_tokens: int | None = 10) -> ModelReply:
    """A reply of these parts."""
    usage = Usage(input_tokens=100, output_tokens=output_tokens, model_calls=1)
    return ModelReply(Message(Turn(role="model", parts=parts, finish_reason=finish_reason)), usage)


def decision_text(
    name: str, target: str, *, rationale: str = "CPA yesterday is on plan.", **arguments: Any
) -> Part:
    """A decision of the media buyer as its model writes it."""
    action = {"name": name, "target": target, "arguments": arguments}
    return text(json.dumps({"rationale": rationale, "cited_metrics": [], "action": action}))


@dataclass
class ScriptedModel:
    """Gives `replies` one after the other and keeps the requests; raises a reply that is an exception."""

    replies: Sequence[ModelReply | Exception]
    requests: list[ModelRequest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def generate(self, request: ModelRequest) -> ModelReply:
        """The next reply. Raises AssertionError after the last one."""
        with self._lock:
            assert len(self.requests) < len(self.replies), "the script has no further reply"
            reply = self.replies[len(self.requests)]
            self.requests.append(request)
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class FunctionTools:
    """Tools that are functions of their arguments; answers count as fetched at `fetched_at`."""

    spec: AgentSpec
    declarations: Sequence[Mapping[str, Any]]
    functions: Mapping[str, Callable[[Mapping[str, Any]], str]]
    fetched_at: datetime | None = None
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """None: these tools really write."""
        return ()

    def effect(self, tool: str) -> Effect | None:
        """As the spec says; None where there is no such tool."""
        return self.spec.effect(tool) if tool in self.functions else None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return canonical_request_hash(self.spec, tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """What the function answers."""
        self.calls.append((tool, arguments))
        return ToolAnswer(self.functions[tool](arguments), "live", self.fetched_at)
