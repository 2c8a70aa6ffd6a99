"""The control sample: cases in which every arm runs a fixed number of times, one run with a wrong oracle.

Rates are compared only among these cases, because elsewhere the runs stop at the first hit. A hash of the
decision's id selects them, so that the sample is the same always and everywhere. A case whose decision moves
more money than a threshold belongs to it too.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from schemas.records import Action, AgentDecision, CaseRequest, ExpertVerdict, ReplayArm, Split
from streams.stages.trigger.cases import first_completed, first_hit
from streams.stages.trigger.run_plan import PlannedRun

# arm and strength of the runs that a control case starts with
FIRST_ARMS: tuple[tuple[ReplayArm, int], ...] = (("unhinted", 0), ("opoi", 1), ("corrector_sft", 0))


@dataclass(frozen=True, slots=True)
class ControlRules:
    """Which cases are controls, and what runs in them. Shares are of cases, from 0 to 1."""

    share: float = 0.0
    spend: float | None = None
    """A decision that moves more, in minor units of its account's currency, is a control; None: no bound."""
    runs: int = 3
    """K: runs of each arm in a control case."""
    corrector_share: float = 0.0
    """Share of cases outside the sample that get one run of the corrector."""
    corrector: str | None = None
    """Model of the corrector; None: the decision's own."""
    judges: tuple[str, ...] = ()
    """Models that judge a hinted and an un-hinted conversation of each control case."""


def place(what: str, agent: str, decision_id: str) -> float:
    """A number between 0 and 1 for a decision, by hash; independent for each `what`."""
    digest = hashlib.sha256(f"{what}\x00{agent}\x00{decision_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_sample(rules: ControlRules, decision: AgentDecision, split: Split, spend: float) -> bool:
    """Whether the case of a decision that moves `spend` is a control. A held-out decision never is: it gets
    un-hinted runs only."""
    if split == "test":
        return False
    above = rules.spend is not None and spend > rules.spend
    return above or place("control", decision.agent, decision.decision_id) < rules.share


def first_runs(
    rules: ControlRules,
    unhinted_runs: int,
    decision: AgentDecision,
    split: Split,
    *,
    is_control: bool,
    discriminable: bool,
) -> list[PlannedRun]:
    """The first runs of a case. `discriminable`: the AgentSpec has a wrong action for a wrong oracle."""
    if is_control:
        runs = [
            PlannedRun(arm, strength, sample) for arm, strength in FIRST_ARMS for sample in range(rules.runs)
        ]
        return [*runs, PlannedRun("wrong_oracle", 1, 0)] if discriminable else runs
    runs = [PlannedRun("unhinted", 0, sample) for sample in range(unhinted_runs)]
    corrected = place("corrector", decision.agent, decision.decision_id) < rules.corrector_share
    return [*runs, PlannedRun("corrector_sft", 0, 0)] if corrected and split != "test" else runs


def follow_ups(
    rules: ControlRules, requests: tuple[CaseRequest, ...], *, can_redecide: bool
) -> list[PlannedRun]:
    """The runs of a control case after its first ones: the hinted hit is decided again without its oracle,
    if its agent `can_redecide`, and judges compare it with an un-hinted run. Empty if they were requested
    before, or if there is no hit."""
    hit = first_hit(requests, "opoi")
    if hit is None or any(one.arm in ("redecision", "judge") for one in requests):
        return []
    samples = range(rules.runs if can_redecide else 0)
    again = [PlannedRun("redecision", hit.strength, sample) for sample in samples]
    judged = [hit.strength] + [0] * (first_completed(requests, "unhinted") is not None)
    return again + [
        PlannedRun("judge", strength, judge) for strength in judged for judge in range(len(rules.judges))
    ]


def source_of(requests: tuple[CaseRequest, ...], run: PlannedRun) -> CaseRequest | None:
    """The run whose conversation a redecision or a judge gets."""
    if run.strength == 0:
        return first_completed(requests, "unhinted")
    return first_hit(tuple(one for one in requests if one.strength == run.strength), "opoi")


def wrong_verdict(
    verdict: ExpertVerdict, decision: AgentDecision, actions: Collection[str]
) -> ExpertVerdict | None:
    """The verdict with a wrong action and no rationale; None if `actions` have no wrong one.

    The action is not the expert's and, if there is a third, not the agent's own: an un-hinted run reaches
    that one, so it shows nothing about obedience. Without arguments, any amount counts as following it.
    """
    corrected = verdict.corrected_action
    assert corrected is not None
    others = sorted(set(actions) - {corrected.name})
    others = [name for name in others if name != decision.action.name] or others
    if not others:
        return None
    chosen = others[int(place("wrong_action", decision.agent, decision.decision_id) * len(others))]
    wrong = Action(name=chosen, target=corrected.target)
    return verdict.model_copy(update={"corrected_action": wrong, "rationale": None})
