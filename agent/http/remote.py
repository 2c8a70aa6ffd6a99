"""The agents over HTTP of a worker: where each is served, one client for each of its addresses, one tools
endpoint."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from agent.http.client import AgentClient
from agent.http.runtime import HttpRuntime
from agent.http.tools_endpoint import ToolsEndpoint
from agent.run import Limits, price_of
from agent.settings import ReplaySettings
from agent.spec import AgentSpec
from schemas.records import AgentDecision, TargetAgent


class RemoteAgents:
    """See `agent.replay.Remote`. Thread-safe."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._endpoints = settings.endpoints
        self._tools = ToolsEndpoint(settings.tools_host, settings.tools_port or 0, settings.tools_url)
        # by agent, so that a token set for one is never sent for another with the same address
        self._clients: dict[tuple[str, str], AgentClient] = {}
        self._lock = threading.Lock()

    def endpoint(self, target: TargetAgent, spec: AgentSpec) -> str | None:
        """The request's own, else the worker's setting, else the AgentSpec's."""
        known = self._endpoints.get(spec.name)
        return target.endpoint or (known.url if known else spec.endpoint)

    def runtime(
        self,
        endpoint: str,
        target: TargetAgent,
        decision: AgentDecision,
        limits: Limits,
        now: Callable[[], datetime],
    ) -> HttpRuntime:
        """The runtime that runs the decision's agent at `endpoint`."""
        context = context_of(target, decision)
        return HttpRuntime(
            self._client(decision.agent, endpoint),
            self._tools,
            context,
            decision.decided_at,
            replace(limits, max_run_bytes=self._settings.max_run_bytes),
            price_of(self._settings, target.model),
            now,
        )

    def listen(self) -> None:
        """Starts the tools endpoint now instead of with the first run. Raises CannotListen."""
        self._tools.listen()

    def close(self) -> None:
        """Stops the tools endpoint and closes all connections."""
        self._tools.close()
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, agent: str, endpoint: str) -> AgentClient:
        with self._lock:
            if (agent, endpoint) not in self._clients:
                known = self._endpoints.get(agent)
                # a token is sent only to the address that it was set for
                token = known.token if known and known.url == endpoint.rstrip("/") else None
                self._clients[agent, endpoint] = AgentClient(
                    endpoint,
                    token.get_secret_value() if token else None,
                    name=agent,
                    answer_seconds=self._settings.answer_seconds,
                )
            return self._clients[agent, endpoint]


def context_of(target: TargetAgent, decision: AgentDecision) -> dict[str, object]:
    """What an agent gets of the decision that it runs again."""
    return {
        "agent": decision.agent,
        "agent_version": target.agent_version,
        "account_id": decision.account_id,
        "decision_id": decision.decision_id,
        "decided_at": decision.decided_at,
        "account_time_zone": decision.account_time_zone,
        "currency": decision.currency,
        "attribution_setting": decision.attribution_setting,
        "generation_config": json.loads(target.generation_config_json),
        "prompt_id": target.prompt_id,
        "toolset_id": target.toolset_id,
        "spec_id": target.spec_id,
        "input": json.loads(decision.input_json),
    }
