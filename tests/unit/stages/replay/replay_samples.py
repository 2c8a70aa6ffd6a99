"""Replay requests, small and valid."""

from datetime import UTC, datetime
from typing import Any

from schemas.records import Budget, ReplayRequest
from streams.core.contract import Coordinates
from streams.core.message import Message
from streams.stages.replay.requests import REQUESTS
from testkit import builders

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def request(**changes: Any) -> ReplayRequest:
    budget = Budget(max_turns=1, max_output_tokens=1, max_seconds=1)
    given: dict[str, Any] = {"replay_id": "r1", "budget": budget, "requested_at": NOW, "deadline_at": NOW}
    return builders.replay_request(**(given | changes))


def arrived(
    record: ReplayRequest, topic: str = REQUESTS, key: bytes = b"media_buyer/d1", **headers: bytes
) -> Message:
    value = builders.codec.encode(REQUESTS, record)
    named = tuple((name.replace("_", "."), content) for name, content in headers.items())
    return Message(Coordinates(topic, 2, 7), NOW, key, value, named)
