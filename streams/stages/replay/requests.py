"""Validates a replay request."""

import re

from schemas.errors import Undecodable
from schemas.identity import decision_key
from schemas.records import AgentDecision, ReplayRequest
from schemas.stages import retry_of
from streams.core.contract import Poison
from streams.core.dispositions import checked_key
from streams.core.message import Message, contract_topic
from streams.runtime.model_runs.in_flight import ReplayJob
from streams.runtime.outputs import RecordCodec

STAGE = "replay"
REQUESTS = "opoi.replay-requests"
RETRY = retry_of(STAGE)
DECISIONS = "agent.decisions"
# the run's id in the URLs of agents over HTTP begins with it
_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,99}")


def read_request(codec: RecordCodec, arrived: Message) -> ReplayJob:
    """The replay that a record requests. Raises Poison, Undecodable, RegistryAway."""
    topic = contract_topic(arrived, (REQUESTS,))
    request = codec.decode(topic, arrived.value)
    assert isinstance(request, ReplayRequest)
    if not _ID.fullmatch(request.replay_id):
        raise Poison("contract", f"replay_id is {request.replay_id[:80]!r}; it must match {_ID.pattern}")
    key = checked_key(arrived.key, request.agent, request.decision_id)
    try:
        decision = codec.decode(DECISIONS, request.decision)
    except Undecodable as error:
        raise Poison(error.kind, f"the embedded decision: {error.reason}") from error
    assert isinstance(decision, AgentDecision)
    embedded = decision_key(decision.agent, decision.decision_id)
    if embedded != key:
        raise Poison("contract", f"the request is about {key!r}, the decision that it embeds is {embedded!r}")
    return ReplayJob(request, decision)


def request_if_readable(codec: RecordCodec, arrived: Message) -> ReplayRequest | None:
    """The request in a record that is given up; None if it cannot be read. Raises RegistryAway."""
    try:
        found = codec.decode(contract_topic(arrived, (REQUESTS,)), arrived.value)
    except (Poison, Undecodable):
        return None
    assert isinstance(found, ReplayRequest)
    return found
