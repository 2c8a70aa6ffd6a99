"""Small, valid records for tests; every test states only what it is about."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.codec import Codec
from schemas.identity import canonical_json, decision_key, request_hash, sha256
from schemas.memory import MemoryStore
from schemas.record import Record
from schemas.records import (
    Action,
    AgentDecision,
    AgentTrace,
    Budget,
    ExpertVerdict,
    Part,
    ReplayRequest,
    TargetAgent,
    TokenLogProbability,
    Turn,
    Usage,
)
from streams.core.contract import Coordinates, Event

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)

PROMPT = "You are the media buyer.\nScale what earns, hold what is unclear."
TOOLSET = canonical_json([{"name": "get_insights"}, {"name": "set_daily_budget"}])
SPEC = "name: media_buyer"


codec = Codec(MemoryStore.whole())


def at(seconds: float) -> datetime:
    """A time after the tests' epoch."""
    return EPOCH + timedelta(seconds=seconds)


def action(name: str = "hold", target: str | None = "c1", **arguments: Any) -> Action:
    """An action; money in minor units."""
    return Action(name=name, target=target, arguments_json=canonical_json(arguments))


def conversation(
    rationale: str, decided: Action, oracle: str | None = None, last_text: str | None = None
) -> tuple[Turn, ...]:
    """One tool call, its answer, and the decision."""
    arguments = {"entity_id": "c1", "date_preset": "last_7d"}
    asked = canonical_json(arguments)
    first = [Part(kind="text", text="Decide on campaign c1 of account a1 for 2026-11-01.")]
    if oracle is not None:
        first.append(Part(kind="text", text=oracle, is_oracle=True))
    text = last_text or canonical_json({"rationale": rationale, "action": {"name": decided.name}})
    return (
        Turn(role="user", parts=tuple(first)),
        Turn(
            role="model",
            parts=(
                Part(
                    kind="function_call",
                    tool="get_insights",
                    call_id="1",
                    arguments_json=asked,
                    effect="read",
                    signature=b"\xff\x93\x00",
                ),
            ),
            finish_reason="STOP",
        ),
        Turn(
            role="user",
            parts=(
                Part(
                    kind="function_response",
                    tool="get_insights",
                    call_id="1",
                    response_json='{"data":[{"spend":"12.00"}]}',
                    request_hash=request_hash("get_insights", arguments),
                    fetched_at=EPOCH,
                    effect="read",
                    answered_by="live",
                ),
            ),
        ),
        Turn(
            role="model",
            parts=(Part(kind="text", text=text),),
            log_probabilities=(TokenLogProbability(token="The", log_probability=float("-inf")),),
            finish_reason="STOP",
        ),
    )


def decision(decision_id: str = "d1", decided: Action | None = None, **changes: Any) -> AgentDecision:
    """A decision of the media buyer."""
    decided = decided or action()
    fields: dict[str, Any] = {
        "agent": "media_buyer",
        "account_id": "a1",
        "decision_id": decision_id,
        "agent_version": "1",
        "account_time_zone": "Europe/Berlin",
        "currency": "EUR",
        "segment": "all",
        "decided_at": EPOCH,
        "prompt_id": sha256(PROMPT),
        "toolset_id": sha256(TOOLSET),
        "spec_id": sha256(SPEC),
        "model": "opoi-local",
        "input_json": "{}",
        "turns": conversation("The week looks flat.", decided),
        "action": decided,
        "rationale": "The week looks flat.",
        "usage": Usage(model_calls=2),
    }
    return AgentDecision(**(fields | changes))


def verdict(decision_id: str = "d1", kind: str = "approve", **changes: Any) -> ExpertVerdict:
    """A verdict on a decision."""
    fields: dict[str, Any] = {
        "agent": "media_buyer",
        "account_id": "a1",
        "decision_id": decision_id,
        "verdict_id": "v1",
        "revision": 1,
        "expert": "expert-1",
        "kind": kind,
        "corrected_action": action("scale_up", daily_budget=12000) if kind == "correct" else None,
        "given_at": at(600),
    }
    return ExpertVerdict(**(fields | changes))


def replay_request(of: AgentDecision | None = None, **changes: Any) -> ReplayRequest:
    """A request for a run of the agent that decided."""
    of = of or decision()
    fields: dict[str, Any] = {
        "agent": of.agent,
        "account_id": of.account_id,
        "decision_id": of.decision_id,
        "verdict_id": "v1",
        "revision": 1,
        "replay_id": "r-1",
        "arm": "unhinted",
        "strength": 0,
        "sample": 0,
        "target": TargetAgent(
            agent_version=of.agent_version,
            prompt_id=of.prompt_id,
            toolset_id=of.toolset_id,
            spec_id=of.spec_id,
            model="tuned",
            generation_config_json=of.generation_config_json,
        ),
        "decision": codec.encode("agent.decisions", of),
        "budget": Budget(max_turns=8, max_output_tokens=10_000, max_seconds=60),
        "requested_at": EPOCH,
        "deadline_at": EPOCH + timedelta(hours=1),
    }
    return ReplayRequest(**(fields | changes))


def trace(request: ReplayRequest, decided: Action | None, **changes: Any) -> AgentTrace:
    """What a run of `request` gave."""
    found = decided or action()
    fields: dict[str, Any] = {
        **{name: getattr(request, name) for name in AgentTrace.model_fields if hasattr(request, name)},
        "status": "completed" if decided is not None else "failed",
        "turns": conversation("Yesterday earned well.", found, request.oracle),
        "action": decided,
        "rationale": "Yesterday earned well.",
        "usage": Usage(model_calls=2),
        "started_at": request.requested_at,
        "finished_at": request.requested_at + timedelta(seconds=1),
        "caused_by": (),
    }
    return AgentTrace(**(fields | changes))


_offsets = itertools.count()


def event(topic: str, record: Record, offset: int | None = None, seconds: float | None = None) -> Event:
    """An input as a shell would hand it over; offsets grow by themselves."""
    place = next(_offsets) if offset is None else offset
    key = decision_key(getattr(record, "agent", ""), getattr(record, "decision_id", ""))
    return Event(
        coordinates=Coordinates(topic, 0, place),
        topic=topic,
        timestamp=at(place if seconds is None else seconds),
        key=key.encode(),
        value=codec.encode(topic, record),
        record=record,
    )


def of_type(outputs: Sequence[Any], kind: type[Record]) -> list[Any]:
    """The records of one type among outputs."""
    return [output.record for output in outputs if isinstance(output.record, kind)]
