"""No worker sits in its group without partitions that are there for it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError

from streams.faust_runner.safety import assignment
from streams.faust_runner.safety.assignment import on_join_follower, perform_assignment


def leader(known: dict[str, set[int]], answers: list[dict[str, set[int]]], closing: bool = False) -> Any:
    """A coordinator that knows `known`, and what each further question adds."""

    async def force_metadata_update() -> None:
        known.update(answers.pop(0))

    return SimpleNamespace(
        _client=SimpleNamespace(set_topics=lambda _: None, force_metadata_update=force_metadata_update),
        _cluster=SimpleNamespace(partitions_for_topic=known.get),
        _closing=SimpleNamespace(done=lambda: closing),
    )


def joined(*subscriptions: list[str]) -> Any:
    """The coordinator's answer to the leader of members that read `subscriptions`."""
    return SimpleNamespace(
        members=[
            (f"m{number}", None, ConsumerProtocolMemberMetadata(4, topics, b"").encode())
            for number, topics in enumerate(subscriptions)
        ]
    )


@pytest.fixture(autouse=True)
def shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def share(self: Any, response: Any) -> str:
        return "shared out"

    monkeypatch.setattr(assignment, "_perform_assignment", share)
    monkeypatch.setattr(assignment, "POLL", 0.0)


def test_every_topic_of_every_member_is_waited_for() -> None:
    answers: list[dict[str, set[int]]] = [{}, {"b": {0}}, {"a": set()}, {"a": {0}}]
    member = leader({"c": {0}}, answers)
    assert asyncio.run(perform_assignment(member, joined(["a", "c"], ["b"]))) == "shared out"
    assert answers == []


def test_what_is_known_is_not_asked_for_again() -> None:
    assert asyncio.run(perform_assignment(leader({"a": {0}}, []), joined(["a"]))) == "shared out"


def test_a_closing_member_shares_nothing_out() -> None:
    with pytest.raises(KafkaError, match="nothing was known of a, b"):
        asyncio.run(perform_assignment(leader({}, [], closing=True), joined(["b", "a"])))


def test_a_member_without_partitions_joins_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ConsumerProtocolMemberAssignment(0, [], b"").encode()
    something = ConsumerProtocolMemberAssignment(0, [("a", [0])], b"").encode()
    given = [nothing, nothing, something, nothing, None]
    asked = []

    async def sync(_: Any) -> bytes | None:
        return given.pop(0)

    monkeypatch.setattr(assignment, "_on_join_follower", sync)
    coordinator = SimpleNamespace(request_rejoin=lambda: asked.append(len(given)))
    while given:
        asyncio.run(on_join_follower(SimpleNamespace(_coordinator=coordinator)))
    # not for the second empty one in a row: then it is a spare; nor where the group is formed anew
    assert asked == [4, 1]
