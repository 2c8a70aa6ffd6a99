"""An agent behind a real local server, and replays of a decision through it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.types import ASGIApp

from agent.fakes import ScriptedModel
from agent.http.remote import RemoteAgents
from agent.http.service import AgentService
from agent.http.serving import serving
from agent.media_buyer.definition import artifacts, media_buyer
from agent.ports import Model, ModelReply
from agent.replay import execute
from agent.run import price_of
from agent.settings import EndpointSettings, ModelPrice, ReplaySettings
from schemas.records import AgentDecision, AgentTrace, ReplayRequest
from testkit import builders
from tests.unit.agent.conftest import DECIDED_AT

CONTENTS = {one.artifact_id: one.content for one in artifacts(media_buyer(), DECIDED_AT)}


class Known:
    """Artifacts in memory."""

    def __init__(self, contents: Mapping[str, bytes] = CONTENTS) -> None:
        self._contents = contents

    def content(self, artifact_id: str) -> bytes | None:
        return self._contents.get(artifact_id)


def replay_request(
    decision: AgentDecision, arm: str = "unhinted", now: datetime | None = None, **changes: Any
) -> ReplayRequest:
    """A request for a run of the decision's own agent, an hour before its deadline."""
    now = now or datetime.now(UTC)
    given: dict[str, Any] = {
        "arm": arm,
        "strength": 0 if arm == "unhinted" else 1,
        "requested_at": now,
        "deadline_at": now + timedelta(hours=1),
    }
    return builders.replay_request(decision, **(given | changes))


class NoModel:
    """The worker's own model, which an agent over HTTP must not use."""

    def generate(self, request: object) -> ModelReply:
        raise AssertionError("the worker's own model was asked")


@contextmanager
def media_buyer_service(model: Model) -> Iterator[str]:
    """The reference implementation's address."""
    with at(AgentService(media_buyer(), model)) as url:
        yield url


@contextmanager
def at(agent: ASGIApp | AgentService) -> Iterator[str]:
    """The address of an agent."""
    with serving(agent.app() if isinstance(agent, AgentService) else agent) as server:
        yield server.url
    if isinstance(agent, AgentService):
        agent.close()


def replay_at(
    url: str,
    decision: AgentDecision,
    request: ReplayRequest | None = None,
    token: str | None = None,
    price: ModelPrice | None = None,
    **more: Any,
) -> AgentTrace:
    """One replay of the agent at `url`, as the worker runs it; `more` are settings of replays."""
    endpoint = EndpointSettings(url=url, token=token)  # type: ignore[arg-type]
    request = request or replay_request(decision)
    model = request.target.model
    settings = ReplaySettings(
        endpoints={decision.agent: endpoint}, prices={} if price is None else {model: price}, **more
    )
    remote = RemoteAgents(settings)
    try:
        return execute(request, decision, Known(), NoModel(), price=price_of(settings, model), remote=remote)
    finally:
        remote.close()


def scripted(*replies: ModelReply | Exception) -> ScriptedModel:
    """A model that says these in order."""
    return ScriptedModel(replies)
