"""The requests for model runs of a case."""

from datetime import datetime

from schemas.identity import decision_key, deterministic_id
from schemas.records import (
    AgentDecision,
    AgentTrace,
    CaseRequest,
    CaseState,
    Cause,
    ReplayRequest,
    Review,
    TargetAgent,
    Turn,
)
from streams.core.budgets import of_run, spent_on
from streams.core.contract import Output
from streams.core.dependencies import Dependencies
from streams.gates.structural import remove
from streams.stages.trigger.control_sample import ControlRules, source_of, wrong_verdict
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.run_plan import PlannedRun

REQUESTS = "opoi.replay-requests"


def replay_requests(
    state: CaseState,
    review: Review,
    decision: AgentDecision,
    runs: list[PlannedRun],
    rules: TriggerRules,
    ports: Dependencies,
    asked_at: datetime,
    asked_by: Cause,
) -> tuple[Output, ...]:
    """The requests for `runs`, which are requested together. The result is the same if `state` has them, and
    later ones, already."""
    before = _before(state.requests, runs)
    budget = of_run(rules.budget, rules.case_budget, spent_on(before), len(runs))
    key = decision_key(review.agent, review.decision_id)
    return tuple(
        Output(
            REQUESTS,
            key,
            ReplayRequest(
                agent=review.agent,
                account_id=review.account_id,
                decision_id=review.decision_id,
                verdict_id=state.verdict_id,
                revision=state.revision,
                replay_id=_replay_id(state, review, decision, run),
                arm=run.arm,
                strength=run.strength,
                sample=run.sample,
                target=_target(decision, run, rules),
                oracle=_oracle(state, review, decision, run, ports),
                verdict=review.verdict if run.arm == "corrector_sft" else None,
                turns=_turns(before, run, ports),
                decision=review.decision or b"",
                budget=budget,
                requested_at=asked_at,
                deadline_at=state.deadline_at or asked_at + rules.deadline,
                case_number=state.case_number,
                caused_by=(asked_by,),
            ),
        )
        for run in runs
    )


def asked_for(outputs: tuple[Output, ...], asked_by: Cause) -> tuple[CaseRequest, ...]:
    """The requests as the state of the case keeps them."""
    return tuple(
        CaseRequest(
            replay_id=made.replay_id,
            arm=made.arm,
            strength=made.strength,
            sample=made.sample,
            requested_at=made.requested_at,
            requested_by=asked_by,
        )
        for made in (output.record for output in outputs)
        if isinstance(made, ReplayRequest)
    )


def _before(requests: tuple[CaseRequest, ...], runs: list[PlannedRun]) -> tuple[CaseRequest, ...]:
    asked = set(runs)
    places = [
        number
        for number, one in enumerate(requests)
        if PlannedRun(one.arm, one.strength, one.sample) in asked
    ]
    return requests[: places[0]] if places else requests


def _replay_id(state: CaseState, review: Review, decision: AgentDecision, run: PlannedRun) -> str:
    return deterministic_id(
        review.agent,
        review.decision_id,
        state.verdict_id,
        state.revision,
        run.arm,
        run.strength,
        run.sample,
        decision.agent_version,
    )


def _target(decision: AgentDecision, run: PlannedRun, rules: TriggerRules) -> TargetAgent:
    return TargetAgent(
        agent_version=decision.agent_version,
        prompt_id=decision.prompt_id,
        toolset_id=decision.toolset_id,
        spec_id=decision.spec_id,
        model=_model(decision, run, rules.controls),
        generation_config_json=decision.generation_config_json,
    )


def _model(decision: AgentDecision, run: PlannedRun, controls: ControlRules) -> str:
    if run.arm == "judge":
        return controls.judges[run.sample]
    if run.arm == "corrector_sft" and controls.corrector is not None:
        return controls.corrector
    return decision.model


def _oracle(
    state: CaseState, review: Review, decision: AgentDecision, run: PlannedRun, ports: Dependencies
) -> str | None:
    verdict = review.verdict
    assert verdict is not None
    if run.arm == "wrong_oracle":
        verdict = wrong_verdict(verdict, decision, ports.actions_of(decision))
        assert verdict is not None
    elif run.arm != "opoi":
        return None
    return ports.render_oracle(decision, verdict, run.strength, _replay_id(state, review, decision, run))


def _turns(before: tuple[CaseRequest, ...], run: PlannedRun, ports: Dependencies) -> tuple[Turn, ...]:
    """The conversation that a redecision or a judge gets, without its oracle."""
    source = source_of(before, run) if run.arm in ("redecision", "judge") else None
    if source is None or source.trace is None:
        return ()
    trace = ports.decode("opoi.traces", source.trace)
    assert isinstance(trace, AgentTrace)
    return remove(trace.turns)
