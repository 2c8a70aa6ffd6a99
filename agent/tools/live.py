"""A tool box over live functions: checks arguments, and notes when an answer was fetched."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from agent.ports import ToolAnswer, ToolError
from agent.spec import AgentSpec
from agent.tools.arguments import checked
from schemas.identity import request_hash
from schemas.records import Effect, IntendedWrite


class Arguments(BaseModel):
    """Arguments of a tool: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with the type of its arguments; it answers what JSON can carry and raises ToolError."""

    arguments: type[Arguments]
    function: Callable[[Any], object]


def canonical_request_hash(spec: AgentSpec, tool: str, arguments: Mapping[str, Any]) -> str:
    """Hash of the tool's request with its arguments normalised. Raises ToolError."""
    try:
        return request_hash(tool, spec.tools[tool].normalise(arguments))
    except ValueError as error:
        raise ToolError(f"the arguments of {tool} cannot be carried as JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class LiveToolBox:
    """The tools of the production agent. `now` is the time that answers are stamped with, UTC."""

    spec: AgentSpec
    declarations: Sequence[Mapping[str, Any]]
    tools: Mapping[str, Tool]
    now: Callable[[], datetime]

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """None: these tools really write."""
        return ()

    def effect(self, tool: str) -> Effect | None:
        """Whether the tool reads or writes; None where there is no such tool."""
        declared = any(declaration.get("name") == tool for declaration in self.declarations)
        return self.spec.effect(tool) if declared else None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return canonical_request_hash(self.spec, tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Answer from the live platform. Raises ToolError."""
        known = self.tools[tool]
        answer = known.function(checked(tool, known.arguments, arguments))
        return ToolAnswer(json.dumps(answer, ensure_ascii=False), "live", self.now())
