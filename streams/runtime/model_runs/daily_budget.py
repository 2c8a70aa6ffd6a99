"""What each agent's replays used today, over all workers, and whether that is their budget.

Every run's usage goes to `opoi.spending` with its trace, and every worker reads that topic from the day's
beginning. So the sum outlives restarts, and a run paid twice counts twice. Runs in flight are not in
it: they can exceed a budget by as much as they use.
"""

import math
from collections import defaultdict
from datetime import UTC, date, datetime

from schemas.identity import decision_key
from schemas.record import Record
from schemas.records import AgentTrace, Spending, Spent
from streams.core.budgets import DAY_BUDGET, Allowance, spent_by, total, used_up
from streams.core.contract import Output

TOPIC = "opoi.spending"


def spend_record(trace: AgentTrace) -> Output:
    """What a run used, as a record."""
    record = Spending(
        agent=trace.agent,
        account_id=trace.account_id,
        decision_id=trace.decision_id,
        replay_id=trace.replay_id,
        arm=trace.arm,
        model=trace.target.model,
        spent=spent_by(trace),
        spent_at=trace.finished_at,
        caused_by=trace.caused_by,
    )
    return Output(TOPIC, decision_key(trace.agent, trace.decision_id), record)


class DailySpend:
    """Sums by agent and UTC day."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, date], Spent] = defaultdict(Spent)

    def take(self, record: Record) -> None:
        """Adds one run. Raises ValueError for an amount that no run can use."""
        assert isinstance(record, Spending)
        amounts = [one for one in record.spent.model_dump().values() if one is not None]
        if not all(math.isfinite(one) and one >= 0 for one in amounts):
            raise ValueError(f"a run of {record.agent!r} used a negative or endless amount")
        place = record.agent, record.spent_at.astimezone(UTC).date()
        self._sums[place] = total((self._sums[place], record.spent))

    def why_not(self, agent: str, allowed: Allowance, now: datetime) -> str | None:
        """Why `agent` may begin no run on the day of `now`; None if it may."""
        day = now.astimezone(UTC).date()
        spent = self._sums.get((agent, day))
        over = used_up(allowed, spent) if spent is not None else None
        if spent is None or over is None:
            return None
        return (
            f"{DAY_BUDGET}: {over} is reached on {day} (UTC) by {agent}: {spent.runs} runs, "
            f"{spent.attempts} attempts, {spent.tokens} tokens, {spent.seconds:.0f} s, "
            f"{spent.cost_micros if spent.cost_micros is not None else 'no price known'} millionths of a US "
            "dollar; raise OPOI_REPLAY__*_PER_DAY to run more today: cases closed today stay closed; "
            "new ones run again after midnight UTC"
        )
