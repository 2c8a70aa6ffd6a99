"""The trigger's rules, and the next action of a case: which runs come next, or why it stops."""

from dataclasses import dataclass, field
from datetime import timedelta

from schemas.disposition_reasons import StopReason
from schemas.records import Budget, CaseState, Split
from streams.core.budgets import DAY_BUDGET, Allowance, spent_on, used_up
from streams.stages.trigger.cases import first_hit, skew
from streams.stages.trigger.control_sample import ControlRules, follow_ups
from streams.stages.trigger.run_plan import PlannedRun, next_hinted

VERSION_SKEW: StopReason = "version_skew"


@dataclass(frozen=True, slots=True)
class TriggerRules:
    """Bounds of a case: number of runs, their usage, and time."""

    budget: Budget
    """Bounds of one run."""
    case_budget: Allowance = field(default_factory=Allowance)
    controls: ControlRules = field(default_factory=ControlRules)
    unhinted_runs: int = 3
    samples_per_strength: int = 3
    deadline: timedelta = timedelta(hours=24)
    remember: timedelta = timedelta(days=1)
    """How long a closed case keeps its bytes, so that a repeated input can repeat its outputs."""


def next_action(
    state: CaseState, split: Split | None, rules: TriggerRules, *, can_redecide: bool
) -> list[PlannedRun] | StopReason:
    """What a case asks for next, once all its runs are in, or its stop reason.

    `can_redecide`: the agent can continue from what a hinted run read.

    Stop reasons: `version_skew`, `unhinted_hit`, `opoi_hit`, `test_split`, `budget_day`, `budget_attempts`,
    `budget_tokens`, `budget_seconds`, `budget_cost`, `tries_used_up`.
    """
    requests = state.requests
    if skew(requests) is not None:
        return VERSION_SKEW
    over = used_up(rules.case_budget, spent_on(requests))
    if any((one.reason or "").startswith(DAY_BUDGET) for one in requests):
        over = "budget_day"
    if state.control_sample and over is None:
        runs = follow_ups(rules.controls, requests, can_redecide=can_redecide)
        if runs:
            return runs
    if first_hit(requests, "unhinted") is not None:
        return "unhinted_hit"
    if first_hit(requests, "opoi") is not None:
        return "opoi_hit"
    if split == "test":
        return "test_split"
    if over is not None:
        return over
    one_more = next_hinted(requests, rules.samples_per_strength)
    return "tries_used_up" if one_more is None else [one_more]
