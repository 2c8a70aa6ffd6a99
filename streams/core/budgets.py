"""Usage of runs, and their budgets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.disposition_reasons import StopReason
from schemas.records import AgentTrace, Budget, CaseRequest, Spent

DAY_BUDGET = "day_budget"
"""A trace's reason begins with this if its agent's daily budget was used up."""

_BUDGETS: Mapping[str, StopReason] = {
    "attempts": "budget_attempts",
    "tokens": "budget_tokens",
    "seconds": "budget_seconds",
    "cost_micros": "budget_cost",
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bounds of several runs together, such as those of a case; None: not bounded. Cost is in millionths of
    a US dollar; only runs whose model has a price count against it."""

    attempts: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    cost_micros: int | None = None


def spent_by(trace: AgentTrace) -> Spent:
    """Usage of one run; zero for a request that was never run."""
    usage = trace.usage
    tokens = (usage.input_tokens, usage.output_tokens, usage.thought_tokens)
    return Spent(
        runs=1,
        attempts=trace.attempts,
        tokens=sum(each or 0 for each in tokens),
        seconds=max(0.0, (trace.finished_at - trace.started_at).total_seconds()),
        cost_micros=usage.cost_micros,
        unpriced_runs=int(trace.attempts > 0 and usage.cost_micros is None),
    )


def total(parts: Iterable[Spent]) -> Spent:
    """The sum; cost is absent if no part knows its own."""
    whole = list(parts)
    known = [one.cost_micros for one in whole if one.cost_micros is not None]
    return Spent(
        runs=sum(one.runs for one in whole),
        attempts=sum(one.attempts for one in whole),
        tokens=sum(one.tokens for one in whole),
        seconds=sum(one.seconds for one in whole),
        cost_micros=sum(known) if known else None,
        unpriced_runs=sum(one.unpriced_runs for one in whole),
    )


def spent_on(requests: Iterable[CaseRequest]) -> Spent:
    """Usage of the runs of `requests`."""
    return total(one.spent for one in requests if one.spent is not None)


def used_up(allowed: Allowance, spent: Spent) -> StopReason | None:
    """The stop reason if a bound is reached, such as `budget_tokens`; None if there is room."""
    for name, reason in _BUDGETS.items():
        most, used = getattr(allowed, name), getattr(spent, name)
        if most is not None and (used or 0) >= most:
            return reason
    return None


def of_run(run: Budget, case: Allowance, spent: Spent, runs: int) -> Budget:
    """Bounds of each of `runs` runs requested together: a share of the rest, at most `run`."""

    def share(most: int | None, left: float | None) -> int | None:
        if left is None:
            return most
        part = max(1, int(left) // runs)
        return part if most is None else min(most, part)

    def left(most: float | None, used: float | None) -> float | None:
        return None if most is None else most - (used or 0)

    return Budget(
        max_turns=share(run.max_turns, left(case.attempts, spent.attempts)) or 1,
        max_output_tokens=share(run.max_output_tokens, left(case.tokens, spent.tokens)) or 1,
        max_seconds=share(run.max_seconds, left(case.seconds, spent.seconds)) or 1,
        max_cost_micros=share(run.max_cost_micros, left(case.cost_micros, spent.cost_micros)),
    )
