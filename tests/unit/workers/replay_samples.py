"""Replay requests, small and valid."""

from datetime import UTC, datetime
from typing import Any

from schemas.records import Budget, ReplayRequest, TargetAgent
from streams.processors.intake import Arrival
from streams.steps.contract import Coordinates
from streams.workers.requests import REQUESTS
from tests import builders

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def request(**changes: Any) -> ReplayRequest:
    fields: dict[str, Any] = {
        "agent": "media_buyer",
        "account_id": "a1",
        "decision_id": "d1",
        "verdict_id": "v1",
        "revision": 1,
        "replay_id": "r1",
        "arm": "unhinted",
        "strength": 0,
        "sample": 0,
        "target": TargetAgent(agent_version="1", prompt_id="p", toolset_id="t", spec_id="s", model="m"),
        "decision": builders.codec.encode("agent.decisions", builders.decision()),
        "budget": Budget(max_turns=1, max_output_tokens=1, max_seconds=1),
        "requested_at": NOW,
        "deadline_at": NOW,
    }
    return ReplayRequest(**(fields | changes))


def arrived(
    record: ReplayRequest, topic: str = REQUESTS, key: bytes = b"media_buyer/d1", **headers: bytes
) -> Arrival:
    value = builders.codec.encode(REQUESTS, record)
    named = {name.replace("_", "."): content for name, content in headers.items()}
    return Arrival(Coordinates(topic, 2, 7), NOW, key, value, named)
