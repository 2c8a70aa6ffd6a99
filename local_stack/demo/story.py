"""The demo's last output: the funnel, and one decision from verdict to training example."""

import json
from dataclasses import dataclass
from typing import Any

from local_stack.demo.feed import Sent
from local_stack.demo.watch import OUTCOMES, Standing, rows_of
from sinks.clickhouse import ClickHouse
from streams.cli.output import table
from streams.visible import visible

_CHOICE = """
SELECT decision_id FROM training_examples
WHERE arm = 'opoi' AND decision_id IN {decisions:Array(String)}
ORDER BY source = 'hinted' DESC, source = 'unhinted' DESC, decision_id LIMIT 1
"""
_DECISION = """
SELECT d.action_name, d.rationale, v.kind, v.corrected_action_name, v.rationale, e.source, e.gap_class,
       e.action_name, e.turns, e.weight, e.replay_id
FROM training_examples AS e
INNER JOIN agent_decisions AS d ON d.decision_id = e.decision_id
INNER JOIN expert_verdicts AS v ON v.verdict_id = e.verdict_id AND v.revision = e.revision
WHERE e.arm = 'opoi' AND e.decision_id = {decision:String} LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Told:
    """One decision on its way, for people."""

    decision_id: str
    decided: str
    rationale: str
    verdict: str
    corrected: str | None
    because: str | None
    source: str
    gap_class: str | None
    learned: str
    final_text: str
    weight: float
    replay_id: str | None


def funnel(server: ClickHouse) -> list[dict[str, Any]]:
    """The rows of the query `funnel`."""
    return rows_of(server, "funnel")


def one_decision(server: ClickHouse, sent: Sent) -> Told | None:
    """A decision of this run that became an OPOI row, a hinted one if there is any."""
    chosen = server.query(_CHOICE, {"decisions": sent.decisions}).result_rows
    if not chosen:
        return None
    [row] = server.query(_DECISION, {"decision": chosen[0][0]}).result_rows
    decided, rationale, kind, corrected, because, source, gap, learned, turns, weight, replay_id = row
    return Told(
        decision_id=chosen[0][0],
        decided=decided,
        rationale=rationale,
        verdict=kind,
        corrected=corrected or None,
        because=because or None,
        source=source,
        gap_class=gap or None,
        learned=learned,
        final_text=_decision_text(turns),
        weight=weight,
        replay_id=replay_id,
    )


def _decision_text(turns: list[dict[str, Any]]) -> str:
    """The rationale of the last decision in the conversation."""
    for turn in reversed(turns):
        for part in turn["parts"]:
            try:
                found = json.loads(part["text"] or "")
            except ValueError:
                continue
            if isinstance(found, dict) and "rationale" in found:
                return str(found["rationale"])
    return ""


def stage_table(standing: Standing) -> str:
    """One line per stage."""
    return table(
        ("stage", "in", *OUTCOMES, "unanswered"),
        [
            (one.stage, one.inputs, *(one.outcomes[name] for name in OUTCOMES), one.unanswered)
            for one in standing.stages
        ],
    )


def funnel_table(rows: list[dict[str, Any]]) -> str:
    """The funnel for people."""
    return table(
        ("item", "arm", "kind", "verdict", "records"),
        [(row["item"], row["arm"], row["kind"], row["verdict"], row["records"]) for row in rows],
    )


def told(found: Told) -> str:
    """One decision as a short story."""
    lines = [
        f"One decision, from verdict to training example: {found.decision_id}",
        f"  the agent decided   {found.decided}: {found.rationale}",
        f"  the expert said     {found.verdict}" + (f" to {found.corrected}" if found.corrected else ""),
    ]
    if found.because:
        lines.append(f"                      {found.because}")
    how = {
        "own_trace": "the agent's own trace, approved",
        "unhinted": "a run without any oracle that reached the expert's action by itself",
        "hinted": "a run with the oracle, which was removed again",
    }[found.source]
    lines += [
        f"  the row comes from  {how}" + (f" ({found.gap_class})" if found.gap_class else ""),
        f"  the agent wrote     {found.learned}: {found.final_text}",
    ]
    return "\n".join(map(visible, lines))
