"""The tool box of an agent's own runtime: it calls a run's tools at opoi's tools endpoint."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from pydantic import ValidationError

from agent.http.contract import ToolAnswerPart, ToolRequest
from agent.ports import ToolAnswer, ToolError, ToolMiss
from agent.spec import AgentSpec
from agent.tools.live import canonical_request_hash
from schemas.identity import canonical_json
from schemas.records import Effect, IntendedWrite


class RemoteToolBox:
    """A tool box behind a `tools_url`; every call sends the run's `token`."""

    def __init__(
        self,
        spec: AgentSpec,
        declarations: Sequence[Mapping[str, Any]],
        url: str,
        token: str,
        client: httpx2.Client,
    ) -> None:
        self._spec = spec
        self._declarations = declarations
        self._url = url
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self._client = client
        self._intended: list[IntendedWrite] = []
        self._count = 0
        self._lock = threading.Lock()

    @property
    def declarations(self) -> Sequence[Mapping[str, Any]]:
        """The agent's own declarations, which are the run's too."""
        return self._declarations

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """Writes that opoi simulated, in order."""
        return tuple(self._intended)

    def effect(self, tool: str) -> Effect | None:
        """Whether the tool reads or writes; None where there is no such tool."""
        declared = any(declaration.get("name") == tool for declaration in self._declarations)
        return self._spec.effect(tool) if declared else None

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError."""
        return canonical_request_hash(self._spec, tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """What opoi answers. Raises ToolError, ToolMiss."""
        with self._lock:
            self._count += 1
            call_id = f"c{self._count}"
        asked = ToolRequest(call_id=call_id, tool=tool, arguments=dict(arguments))
        try:
            response = self._client.post(self._url, content=asked.model_dump_json(), headers=self._headers)
            response.raise_for_status()
            part = ToolAnswerPart.model_validate_json(response.content)
        except (httpx2.HTTPError, ValidationError) as error:
            raise ToolError(f"{tool} could not be asked ({type(error).__name__})") from error
        if part.response_json is None:
            raise (ToolMiss if part.answered_by == "miss" else ToolError)(part.error or f"{tool} failed")
        answered_by = part.answered_by or "recording"
        if answered_by == "simulated":
            with self._lock:
                written = canonical_json(asked.arguments)
                self._intended.append(IntendedWrite(tool=tool, arguments_json=written))
        return ToolAnswer(part.response_json, answered_by, part.fetched_at)
