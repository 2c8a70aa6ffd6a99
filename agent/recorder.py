"""Records a production run as an AgentDecision: every turn, every answer, the as-of snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from agent.ports import GenerationConfig, ToolBox, ToolError
from agent.run import AgentDefinition, Run
from agent.spec import AgentSpec
from schemas.identity import canonical_json
from schemas.log_events import SNAPSHOT_FAILED
from schemas.records import AgentDecision, SnapshotEntry

log = structlog.get_logger(__name__)


class NotADecision(ValueError):
    """A run that came to no decision; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The circumstances of a run: its decision, account and model. `input` is what the agent was asked."""

    decision_id: str
    account_id: str
    account_time_zone: str
    currency: str
    input: Mapping[str, Any]
    model: str
    config: GenerationConfig
    attribution_setting: str | None = None


def record(
    agent: AgentDefinition,
    setting: Setting,
    run: Run,
    *,
    decided_at: datetime,
    snapshot: tuple[SnapshotEntry, ...] = (),
) -> AgentDecision:
    """The decision's record. Raises NotADecision where the run came to none.

    A run that failed after a real write is recorded too: its decision took effect.
    """
    wrote = any(
        part.effect == "write" and part.answered_by == "live" for turn in run.turns for part in turn.parts
    )
    if run.decision is None or (run.status != "completed" and not wrote):
        raise NotADecision(f"{run.status}: {run.reason}")
    return AgentDecision(
        agent=agent.spec.name,
        account_id=setting.account_id,
        decision_id=setting.decision_id,
        agent_version=agent.spec.version,
        account_time_zone=setting.account_time_zone,
        currency=setting.currency,
        attribution_setting=setting.attribution_setting,
        segment=agent.spec.segment_of(setting.input),
        decided_at=decided_at,
        prompt_id=agent.prompt_id,
        toolset_id=agent.toolset_id,
        spec_id=agent.spec.spec_id,
        model=setting.model,
        generation_config_json=canonical_json(setting.config.model_dump(mode="json", exclude_none=True)),
        input_json=canonical_json(dict(setting.input)),
        turns=run.turns,
        sub_agent_runs=run.sub_agent_runs,
        snapshot=snapshot,
        action=run.decision.action,
        rationale=run.decision.rationale,
        usage=run.usage,
        finish_reason=run.turns[-1].finish_reason,
    )


def take_snapshot(
    spec: AgentSpec, tools: ToolBox, values: Mapping[str, Any], now: datetime
) -> tuple[SnapshotEntry, ...]:
    """The answers to the spec's snapshot calls; one that fails is left out, since it would answer nothing.

    Taken before the run, so that it shows none of its writes.
    """
    entries = []
    for call in spec.snapshot:
        try:
            arguments = {name: _filled(value, values) for name, value in call.arguments.items()}
            request_hash = tools.request_hash(call.tool, arguments)
            answer = tools.call(call.tool, arguments)
            arguments_json = canonical_json(arguments)
        except ToolError as error:
            SNAPSHOT_FAILED.emit(log, tool=call.tool, error=str(error))
            continue
        except Exception as error:  # noqa: BLE001 - a read beside the run must not end the run
            # the text of a foreign error may hold addresses and tokens
            SNAPSHOT_FAILED.emit(log, tool=call.tool, error=type(error).__name__)
            continue
        entries.append(
            SnapshotEntry(
                tool=call.tool,
                arguments_json=arguments_json,
                request_hash=request_hash,
                response_json=answer.body,
                fetched_at=answer.fetched_at or now,
            )
        )
    return tuple(entries)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    return value.format_map(values) if isinstance(value, str) else value
