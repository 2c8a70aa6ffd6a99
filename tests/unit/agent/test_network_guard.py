"""A replay reaches nothing but its model: counted at a server that stands where the platform would."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from agent.as_of import AsOfToolBox, Step, as_of_steps
from agent.fakes import ScriptedModel, call, decision_text, says
from agent.media_buyer.definition import media_buyer
from agent.network_guard import NetworkRefused, no_network
from agent.ports import GenerationConfig, ToolAnswer, ToolError
from agent.run import AgentDefinition, Run
from agent.runtime import Runtime
from agent.settings import AdsSettings
from agent.tools.graph import GraphClient
from schemas.records import AgentDecision
from tests.unit.agent.conftest import ASK_WEEK, CAMPAIGN
from tests.unit.agent.test_sub_agents import ASK, answers, finding

SPEC = media_buyer().spec
WRITES = [name for name, known in SPEC.tools.items() if known.effect == "write"]
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "set_daily_budget": {"campaign_id": CAMPAIGN, "daily_budget": 14400},
    "set_status": {"campaign_id": CAMPAIGN, "status": "PAUSED"},
}


class Platform:
    """Counts who connects."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def connect(self) -> None:
        """What a tool with a client of its own does."""
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    yield made
    made.close()


class Leaky(Step):
    """Code of an agent's own in the way of an answer."""

    def __init__(self, leak: Callable[[], object]) -> None:
        self._leak = leak

    def answer(self, tool: str, arguments: Mapping[str, Any], request_hash: str) -> ToolAnswer | None:
        self._leak()
        return ToolAnswer("{}", "live")


def replay(agent: AgentDecision, *steps: Step, replies: tuple[Any, ...]) -> Run:
    """A run over `steps` with scripted words."""
    definition: AgentDefinition = media_buyer()
    model = ScriptedModel([*replies, says(decision_text("hold", CAMPAIGN))])
    return Runtime(model).run(
        definition,
        agent.turns[0],
        AsOfToolBox(definition.spec, definition.declarations, steps),
        model_name="m",
        config=GenerationConfig(),
        run_id="r1",
        values=json.loads(agent.input_json),
    )


def settled(platform: Platform) -> int:
    """Connections, once a late one would have been counted."""
    time.sleep(0.05)
    return platform.connections


def test_the_server_counts(platform: Platform) -> None:
    platform.connect()
    assert settled(platform) == 1


@pytest.mark.parametrize("tool", WRITES)
def test_no_write_tool_reaches_the_platform(
    tool: str, decision: AgentDecision, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPOI_ADS__GRAPH_URL", f"http://127.0.0.1:{platform.port}")
    box = AsOfToolBox(SPEC, media_buyer().declarations, as_of_steps(SPEC, decision))
    answer = box.call(tool, ARGUMENTS[tool])
    assert answer.answered_by == "simulated"
    assert [one.tool for one in box.intended_writes] == [tool]
    assert settled(platform) == 0


def test_the_same_tools_of_the_running_agent_would_have(platform: Platform) -> None:
    client = GraphClient(AdsSettings(graph_url=f"http://127.0.0.1:{platform.port}"))
    with pytest.raises(ToolError):
        client.update_campaign(CAMPAIGN, {"daily_budget": 14400})
    client.close()
    assert settled(platform) > 0


def leaks(platform: Platform) -> Mapping[str, Callable[[], object]]:
    """Ways out that a tool might try."""
    program = f"import socket; socket.create_connection(('127.0.0.1', {platform.port}))"
    return {
        "connection": platform.connect,
        "name": lambda: socket.getaddrinfo("example.invalid", 80),
        "process": lambda: subprocess.run([sys.executable, "-P", "-c", program], check=False),
    }


@pytest.mark.parametrize("way", ["connection", "name", "process"])
def test_a_tool_that_opens_its_own_connection_is_refused(
    way: str, decision: AgentDecision, platform: Platform
) -> None:
    asks = says(call("get_campaign", campaign_id=CAMPAIGN))
    run = replay(decision, Leaky(leaks(platform)[way]), replies=(asks,))
    [answer] = run.turns[2].parts
    assert answer.response_json is None
    assert answer.error == "get_campaign failed (NetworkRefused)"
    assert settled(platform) == 0


def test_a_sub_agents_tool_that_does_is_refused_too(decision: AgentDecision, platform: Platform) -> None:
    reads = says(call("get_insights", **ASK_WEEK))
    run = replay(decision, Leaky(platform.connect), replies=(says(ASK), reads, says(finding())))
    [analyst] = run.sub_agent_runs
    assert [part.error for part in answers(analyst.turns)] == ["get_insights failed (NetworkRefused)"]
    assert settled(platform) == 0


def test_the_guard_ends_with_its_block(platform: Platform) -> None:
    with no_network("this"), pytest.raises(NetworkRefused, match="this may use no network"):
        platform.connect()
    platform.connect()
    assert settled(platform) == 1
