"""Which model runs a case needs, and the requests for them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.identity import deterministic_id
from schemas.records import (
    AgentDecision,
    Budget,
    CaseRequest,
    CaseState,
    Cause,
    ReplayArm,
    ReplayRequest,
    Review,
    TargetAgent,
)
from streams.steps.ports import RenderOracle

REQUESTS = "opoi.replay-requests"
STRENGTHS = (1, 2)


@dataclass(frozen=True, slots=True)
class Run:
    """One model run of a case: arm, oracle strength (0 for none), sample from 0."""

    arm: ReplayArm
    strength: int
    sample: int


@dataclass(frozen=True, slots=True)
class TriggerRules:
    """How many runs a case may have, and how long it may take."""

    budget: Budget
    unhinted_runs: int = 3
    samples_per_strength: int = 3
    deadline: timedelta = timedelta(hours=24)
    remember: timedelta = timedelta(days=1)
    """How long a closed case keeps its bytes, so that a repeated input repeats its outputs."""


def next_hinted(requests: tuple[CaseRequest, ...], samples: int) -> Run | None:
    """The weakest strength that has samples left; None: all are used up."""
    for strength in STRENGTHS:
        done = sum(one.arm == "opoi" and one.strength == strength for one in requests)
        if done < samples:
            return Run("opoi", strength, done)
    return None


def replay_request(
    state: CaseState,
    review: Review,
    decision: AgentDecision,
    run: Run,
    rules: TriggerRules,
    render_oracle: RenderOracle,
    asked_at: datetime,
    asked_by: Cause,
) -> ReplayRequest:
    """The request for one run of the decision's own agent."""
    assert review.verdict is not None
    assert review.decision is not None
    replay_id = deterministic_id(
        review.agent,
        review.decision_id,
        state.verdict_id,
        state.revision,
        run.arm,
        run.strength,
        run.sample,
        decision.agent_version,
    )
    return ReplayRequest(
        agent=review.agent,
        account_id=review.account_id,
        decision_id=review.decision_id,
        verdict_id=state.verdict_id,
        revision=state.revision,
        replay_id=replay_id,
        arm=run.arm,
        strength=run.strength,
        sample=run.sample,
        target=TargetAgent(
            agent_version=decision.agent_version,
            prompt_id=decision.prompt_id,
            toolset_id=decision.toolset_id,
            spec_id=decision.spec_id,
            model=decision.model,
            generation_config_json=decision.generation_config_json,
        ),
        oracle=render_oracle(decision, review.verdict, run.strength, replay_id)
        if run.arm == "opoi"
        else None,
        decision=review.decision,
        budget=rules.budget,
        requested_at=asked_at,
        deadline_at=state.deadline_at or asked_at + rules.deadline,
        caused_by=(asked_by,),
    )
