"""One replay: from a request, its decision and the agent's artifacts to a trace.

Pure except for the model's answers: tools answer from the decision's recording, and nothing is written.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from agent.arms import ARMS, CannotAsk, Conversation
from agent.as_of import AsOfToolBox, BrokenRecord, Step, as_of_steps, json_of, object_of
from agent.ports import GenerationConfig, Model
from agent.run import AgentDefinition, AgentRuntime, Limits, Price, Run
from agent.runtime import Runtime, utc_now
from agent.spec import AgentSpec, SpecError
from schemas.identity import sha256
from schemas.records import (
    Action,
    AgentDecision,
    AgentTrace,
    ReplayRequest,
    TargetAgent,
    TraceStatus,
    Turn,
    Usage,
)


class Artifacts(Protocol):
    """The contents that records name by hash."""

    def content(self, artifact_id: str) -> bytes | None:
        """The bytes with this sha256; None where they are not known."""


class Remote(Protocol):
    """The agents that are served over HTTP."""

    def endpoint(self, target: TargetAgent, spec: AgentSpec) -> str | None:
        """Where the agent is served; None: the runtime of this process runs it."""

    def runtime(
        self,
        endpoint: str,
        target: TargetAgent,
        decision: AgentDecision,
        limits: Limits,
        now: Callable[[], datetime],
    ) -> AgentRuntime:
        """The runtime that runs the decision's agent at `endpoint`."""


class _NotRun(Exception):
    """A replay that cannot be run as asked; the trace gets its code and text."""

    def __init__(self, status: TraceStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: TraceStatus
    reason: str | None
    usage: Usage
    run: Run | None = None
    turns: tuple[Turn, ...] = ()
    endpoint: str | None = None


def execute(
    request: ReplayRequest,
    decision: AgentDecision,
    artifacts: Artifacts,
    model: Model,
    *,
    price: Price | None = None,
    now: Callable[[], datetime] = utc_now,
    remote: Remote | None = None,
) -> AgentTrace:
    """Runs `request`. `decision` is the decoded record that the request embeds.

    Raises ModelAway and QuotaExceeded; run the same request again later. A request that cannot be run ends in
    a trace with status `failed` and a reason that begins with one of `unsupported_endpoint`,
    `oracle_missing`, `oracle_unexpected`, `verdict_missing`, `turns_missing`, `artifact_broken`,
    `config_broken`, `decision_broken`, `action_broken`. Where prompt, toolset or AgentSpec is unknown
    (`artifact_missing`) or the model is gone (`model_gone`), its status is `version_skew`; past its
    deadline it is `exhausted`. The target of the trace names the endpoint where the agent ran.
    """
    started_at = now()
    try:
        if started_at >= request.deadline_at:
            raise _NotRun("exhausted", f"deadline: {request.deadline_at.isoformat()} has passed")
        agent = target_agent(request.target, artifacts)
        conversation = _conversation(request, decision)
        endpoint = _endpoint(request, conversation, agent, remote)
        run = _run(request, decision, conversation, agent, model, price, now, endpoint, remote)
        outcome = _Outcome(run.status, run.reason, run.usage, run, _turns(conversation, run), endpoint)
    except _NotRun as error:
        outcome = _Outcome(error.status, str(error), Usage())
    return _trace(request, outcome, started_at, now())


def target_agent(target: TargetAgent, artifacts: Artifacts) -> AgentDefinition:
    """The agent that a request names, from its artifacts."""
    prompt, toolset, spec = (
        _artifact(artifacts, kind, artifact_id)
        for kind, artifact_id in (
            ("system prompt", target.prompt_id),
            ("tool declarations", target.toolset_id),
            ("AgentSpec", target.spec_id),
        )
    )
    try:
        return AgentDefinition(AgentSpec.parse(spec), prompt.decode(), tuple(json.loads(toolset)))
    except (SpecError, ValueError) as error:
        raise _NotRun("failed", f"artifact_broken: {error}") from error


def _artifact(artifacts: Artifacts, kind: str, artifact_id: str) -> bytes:
    content = artifacts.content(artifact_id)
    if content is None:
        raise _NotRun(
            "version_skew",
            f"artifact_missing: no {kind} {artifact_id} is known; register the agent's version",
        )
    if sha256(content) != artifact_id:
        raise _NotRun(
            "failed", f"artifact_broken: the {kind} {artifact_id} has another hash, {sha256(content)}"
        )
    return content


def _conversation(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    try:
        return ARMS[request.arm](request, decision)
    except CannotAsk as error:
        raise _NotRun("failed", str(error)) from error


def _as_of(spec: AgentSpec, decision: AgentDecision) -> tuple[tuple[Step, ...], Mapping[str, Any]]:
    """The steps that answer reads, and the decision's input by name; empty where it is no object."""
    try:
        steps, asked = as_of_steps(spec, decision), json_of(decision.input_json, "input_json")
    except BrokenRecord as error:
        raise _NotRun("failed", f"decision_broken: {error}") from error
    return steps, asked if isinstance(asked, dict) else {}


def _turns(conversation: Conversation, run: Run) -> tuple[Turn, ...]:
    if conversation.kept is None:
        return run.turns
    return (*conversation.kept, *run.turns[len(conversation.turns) :])


def _run(
    request: ReplayRequest,
    decision: AgentDecision,
    conversation: Conversation,
    agent: AgentDefinition,
    model: Model,
    price: Price | None,
    now: Callable[[], datetime],
    endpoint: str | None,
    remote: Remote | None,
) -> Run:
    limits = Limits(
        max_turns=request.budget.max_turns,
        max_output_tokens=request.budget.max_output_tokens,
        max_seconds=min(request.budget.max_seconds, (request.deadline_at - now()).total_seconds()),
        max_cost_micros=request.budget.max_cost_micros,
    )
    if conversation.bare:
        agent = AgentDefinition(agent.spec, "", ())
    question, *history = conversation.turns
    steps, values = _as_of(agent.spec, decision)
    tools = AsOfToolBox(agent.spec, agent.declarations, steps)
    model_name, run_id = request.target.model, request.replay_id
    if endpoint is None:
        return Runtime(model, limits, price, now).run(
            agent,
            question,
            tools,
            model_name=model_name,
            run_id=run_id,
            config=_config(request.target),
            values=values,
            history=history,
            read=conversation.read,
        )
    if remote is None:
        raise _NotRun("failed", f"unsupported_endpoint: {endpoint!r} cannot be replayed from here")
    # how it generates is the agent's own business, and it is asked from the beginning
    try:
        object_of(request.target.generation_config_json, "the generation config")
    except BrokenRecord as error:
        raise _NotRun("failed", f"config_broken: {error}") from error
    runtime = remote.runtime(endpoint, request.target, decision, limits, now)
    return runtime.run(agent, question, tools, model_name=model_name, run_id=run_id)


def _endpoint(
    request: ReplayRequest, conversation: Conversation, agent: AgentDefinition, remote: Remote | None
) -> str | None:
    """The endpoint of the agent that runs the conversation; None: this process runs it."""
    if conversation.bare:
        return None  # a bare model is asked from here, whoever serves the agent
    endpoint = remote.endpoint(request.target, agent.spec) if remote else request.target.endpoint
    if endpoint is not None and len(conversation.turns) > 1:
        raise _NotRun(
            "failed",
            f"unsupported_endpoint: {endpoint!r} runs its agent from the beginning, not {request.arm}",
        )
    return endpoint


def _config(target: TargetAgent) -> GenerationConfig:
    try:
        return GenerationConfig.model_validate_json(target.generation_config_json)
    except ValidationError as error:
        raise _NotRun(
            "failed", f"config_broken: {error.error_count()} faults in the generation config"
        ) from error


def _trace(
    request: ReplayRequest, outcome: _Outcome, started_at: datetime, finished_at: datetime
) -> AgentTrace:
    run = outcome.run
    decided = run.decision if run and outcome.status == "completed" else None
    action: Action | None = decided.action if decided else None
    return AgentTrace(
        agent=request.agent,
        account_id=request.account_id,
        decision_id=request.decision_id,
        verdict_id=request.verdict_id,
        revision=request.revision,
        replay_id=request.replay_id,
        arm=request.arm,
        strength=request.strength,
        sample=request.sample,
        target=request.target.model_copy(update={"endpoint": outcome.endpoint or request.target.endpoint}),
        status=outcome.status,
        reason=outcome.reason,
        turns=outcome.turns,
        sub_agent_runs=run.sub_agent_runs if run else (),
        action=action,
        rationale=decided.rationale if decided else None,
        misses=run.misses if run else 0,
        intended_writes=run.intended_writes if run else (),
        usage=outcome.usage,
        attempts=run.attempts if run else 0,
        started_at=started_at,
        finished_at=finished_at,
        case_number=request.case_number,
    )
