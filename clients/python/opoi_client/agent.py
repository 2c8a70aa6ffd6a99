"""The agent that decides: its AgentSpec, prompt and tools, which a decision names by hash."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from opoi_client.canonical import canonical_json, request_hash, sha256


class AgentError(ValueError):
    """An agent, or a use of it, that its AgentSpec does not allow; the text says what and where."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content that decisions name by `artifact_id`, its sha256."""

    kind: Literal["system_prompt", "toolset", "agent_spec"]
    artifact_id: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Agent:
    """One version of an agent. `spec` is whole, with every default filled in, as `opoi agent export` writes
    it: its hash would be another one otherwise."""

    spec: Mapping[str, Any]
    system_prompt: str
    toolset: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, file: str | Path) -> "Agent":
        """The agent in a file of `opoi agent export`. Raises AgentError."""
        try:
            found = json.loads(Path(file).read_text(encoding="utf-8"))
            agent = cls(found["spec"], found["system_prompt"], found["toolset"])
            lacking = {"name", "version", "actions", "tools", "segment", "snapshot"} - set(agent.spec)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise AgentError(
                f"{file} is no agent ({type(error).__name__}: {error}); "
                "write it with `opoi agent export SPEC.yaml`"
            ) from error
        if lacking:
            raise AgentError(f"the spec in {file} lacks {', '.join(sorted(lacking))}; export it again")
        return agent

    @property
    def name(self) -> str:
        """Its name, the first half of every message key."""
        return str(self.spec["name"])

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.spec["version"])

    def artifacts(self) -> tuple[Artifact, ...]:
        """The three contents that must be on `agent.artifacts` before a decision that names them is replayed.

        They are not sent from here: `opoi agent register SPEC.yaml` puts them there, once for each version.
        """
        toolset = canonical_json([dict(one) for one in self.toolset]).encode()
        spec = canonical_json(dict(self.spec)).encode()
        prompt = self.system_prompt.encode()
        return (
            Artifact("system_prompt", sha256(prompt), "text/markdown", prompt),
            Artifact("toolset", sha256(toolset), "application/json", toolset),
            Artifact("agent_spec", sha256(spec), "application/json", spec),
        )

    def effect(self, tool: str) -> str | None:
        """`read` or `write`; None where the spec does not know the tool."""
        return self._tool(tool).get("effect")

    def is_sub_agent(self, tool: str) -> bool:
        """Whether a sub-agent answers the tool, and no platform."""
        return self._tool(tool).get("sub_agent") is not None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of a request. Raises NotCanonical."""
        return request_hash(tool, arguments, self._tool(tool).get("sets") or ())

    def segment_of(self, values: Mapping[str, Any]) -> str:
        """The segment of a decision with this input. Raises AgentError for a field that it lacks."""
        try:
            return str(self.spec["segment"]).format_map(values)
        except KeyError as error:
            raise AgentError(
                f"the segment rule {self.spec['segment']!r} needs {error} of the input"
            ) from error

    def check_action(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Raises AgentError for an action or arguments that the spec does not name."""
        actions = self.spec["actions"]
        if name not in actions:
            raise AgentError(f"action {name!r} is none of {', '.join(actions)}")
        known = set(actions[name].get("arguments") or ())
        if known != set(arguments):
            raise AgentError(f"action {name!r} takes {sorted(known)}, not {sorted(arguments)}")

    def _tool(self, tool: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.spec["tools"].get(tool) or {}
        return found
