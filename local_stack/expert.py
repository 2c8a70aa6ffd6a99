"""A simulated expert who reviews decisions: for trials and tests, no part of the product.

Its judgement: yesterday counts more than for the agent (0.80 yesterday + 0.25 week + noise). It knows one
fact that no tool of the agent has: if the stock is low (8% of cases) it holds a budget that it would
otherwise raise. Now and then it quotes a later day, declines without a correction, revises its verdict or
retracts it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from agent.as_of import recorded_calls, snapshot_calls
from agent.media_buyer.limits import LIMITS
from local_stack.expert_words import Saying, say
from schemas.identity import canonical_json, deterministic_id
from schemas.records import Action, AgentDecision, ExpertVerdict, VerdictKind

YESTERDAY, WEEK, NOISE = 0.80, 0.25, 0.08
GROWS = LIMITS["raise_advantage_percent"].value / 100
SHRINKS = -LIMITS["cut_disadvantage_percent"].value / 100
STOPS = -LIMITS["pause_disadvantage_percent"].value / 100
LEARNING_TOLERANCE = LIMITS["learning_tolerance"].value
"""How much further off target a campaign must be while it learns."""
YOUNG = LIMITS["young_day_percent"].value / 100
"""The expert's allowance for purchases of yesterday that are not reported yet, log ratio."""
SAME_AMOUNT = math.log(1 + LIMITS["same_amount_percent"].value / 100)
"""Budgets that differ by less are the same to the expert, log ratio."""
LOW_STOCK, HINDSIGHT, NO_CORRECTION, REVISES, RETRACTS, SILENT = 0.08, 0.06, 0.05, 0.04, 0.02, 0.03
EXPERTS = ("expert-01", "expert-02", "expert-03", "expert-04")


@dataclass(frozen=True, slots=True)
class Signals:
    """Figures of a campaign: log ratios to target, positive is better; money in major units."""

    yesterday: float
    week: float
    cpa_yesterday: float | None
    cpa_week: float
    target: float
    budget: int
    status: str
    learning: bool


def review(decision: AgentDecision, rng: Random) -> list[ExpertVerdict]:
    """The expert's verdicts on a decision in order of time; now and then none."""
    if rng.random() < SILENT:
        return []
    expert = rng.choice(EXPERTS)
    given_at = decision.decided_at + timedelta(minutes=rng.lognormvariate(5.0, 0.9))
    judged = _judge(decision, rng)
    first = _verdict(decision, expert, 1, given_at, judged, rng)
    verdicts = [first]
    if rng.random() < REVISES:
        again = _verdict(
            decision, expert, 2, given_at + timedelta(hours=rng.uniform(1, 30)), _judge(decision, rng), rng
        )
        verdicts.append(again)
    if rng.random() < RETRACTS:
        last = verdicts[-1]
        at = last.given_at + timedelta(hours=rng.uniform(1, 48))
        taken_back = {
            "kind": "retract",
            "revision": last.revision + 1,
            "corrected_action": None,
            "given_at": at,
        }
        words = {"rationale": rng.choice(("Wrong campaign, sorry.", "I take this back.")), "rule_tag": None}
        verdicts.append(ExpertVerdict.model_validate(last.model_dump() | taken_back | words))
    return verdicts


@dataclass(frozen=True, slots=True)
class _Judgement:
    action: Action
    saying: Saying
    tag: str


def _verdict(
    decision: AgentDecision,
    expert: str,
    revision: int,
    given_at: datetime,
    judged: _Judgement | None,
    rng: Random,
) -> ExpertVerdict:
    kind: VerdictKind = "approve" if judged is None or _agrees(decision.action, judged.action) else "correct"
    if kind == "correct" and rng.random() < NO_CORRECTION:
        kind = "decline"
    quotes = judged is not None and rng.random() < HINDSIGHT
    saying = replace(judged.saying, later=_later(judged.saying, rng) if quotes else None) if judged else None
    return ExpertVerdict(
        agent=decision.agent,
        account_id=decision.account_id,
        decision_id=decision.decision_id,
        verdict_id=deterministic_id("verdict", decision.agent, decision.decision_id, expert),
        revision=revision,
        expert=expert,
        kind=kind,
        corrected_action=judged.action if judged and kind == "correct" else None,
        rationale=say(kind, saying, rng),
        rule_tag=judged.tag if judged and kind != "approve" else None,
        given_at=given_at,
        # an expert who quotes a later day does not always say so
        outcome_known=quotes and rng.random() < 0.5,
    )


def _later(saying: Saying, rng: Random) -> float:
    """A cost of a later day, unknown at the time of the decision."""
    return round(saying.cpa_week * math.exp(rng.gauss(0.0, 0.3)), 2)


def _judge(decision: AgentDecision, rng: Random) -> _Judgement | None:
    """The expert's own action; None if the decision has no figures to judge by."""
    seen = signals(decision)
    if seen is None:
        return None
    score = YESTERDAY * (seen.yesterday + YOUNG) + WEEK * seen.week + rng.gauss(0.0, NOISE)
    tolerance = LEARNING_TOLERANCE if seen.learning else 1.0
    tag = "latest_day" if abs(seen.yesterday) >= abs(seen.week) else "level"
    if score >= GROWS * tolerance:
        name = "scale_up" if seen.status == "ACTIVE" else "resume"
    elif seen.status != "ACTIVE":
        name = "hold"
    elif score <= STOPS * tolerance:
        name = "pause"
    elif score <= SHRINKS * tolerance:
        name = "scale_down"
    else:
        name, tag = "hold", "learning_phase" if seen.learning else "on_target"
    low_stock = name in ("scale_up", "resume") and rng.random() < LOW_STOCK
    if low_stock:
        name, tag = "hold", "low_stock"
    arguments: dict[str, int] = {}
    if name.startswith("scale"):
        arguments["daily_budget"] = round(seen.budget * (100 + _step(name, abs(score))) / 100)
    currency = decision.currency
    saying = Saying(name, currency, seen.cpa_yesterday, seen.cpa_week, seen.target, tag, low_stock)
    target = decision.action.target
    return _Judgement(Action(name=name, target=target, arguments_json=canonical_json(arguments)), saying, tag)


def _step(name: str, strength: float) -> int:
    """The step in percent of the present budget."""
    size = 10 if strength < 0.2 else 20 if strength < 0.5 else 30
    return size if name == "scale_up" else -size


def _agrees(one: Action, other: Action) -> bool:
    if one.name != other.name:
        return False
    ours, theirs = (json.loads(action.arguments_json).get("daily_budget") for action in (one, other))
    return ours is None or theirs is None or abs(math.log(ours / theirs)) <= SAME_AMOUNT


def signals(decision: AgentDecision) -> Signals | None:
    """Figures in the decision's recorded tool answers; None if they have no daily rows with purchases."""
    asked = json.loads(decision.input_json)
    rows: list[Mapping[str, Any]] = []
    campaign: Mapping[str, Any] | None = None
    for call in (*recorded_calls(decision), *snapshot_calls(decision)):
        body = json.loads(call.body) if call.body else {}
        about = call.arguments.get("entity_id") in (None, asked.get("campaign_id"))
        whole = about and not call.arguments.get("level")
        if call.tool == "get_insights" and whole and call.arguments.get("time_increment") == 1:
            rows = max(rows, list(body.get("data", ())), key=len)
        elif call.tool == "get_campaign":
            campaign = campaign or body
    if not rows or campaign is None or not campaign.get("daily_budget"):
        return None
    rows = sorted(rows, key=lambda row: str(row["date_start"]))[-7:]
    target = asked["target_cpa_minor"] / 100
    cpa_week, week = _quality(rows, target, asked["target_roas"])
    cpa_yesterday, yesterday = _quality(rows[-1:], target, asked["target_roas"])
    if cpa_week is None:
        return None
    stage = campaign.get("learning_stage_info") or {}
    return Signals(
        yesterday,
        week,
        cpa_yesterday,
        cpa_week,
        target,
        int(campaign["daily_budget"]),
        str(campaign.get("status")),
        stage.get("status") == "LEARNING",
    )


def _quality(
    rows: list[Mapping[str, Any]], target_cpa: float, target_roas: float
) -> tuple[float | None, float]:
    """Cost per purchase, and the mean log ratio of cost and return to target; capped without sales."""
    spend = sum(float(row.get("spend", 0)) for row in rows)
    sold = sum(_of(row, "actions", "purchase") for row in rows)
    value = sum(_of(row, "purchase_roas", "omni_purchase") * float(row.get("spend", 0)) for row in rows)
    if not spend or not sold or not value:
        return None, -1.0 if spend else 0.0
    cpa, roas = spend / sold, value / spend
    return cpa, (math.log(target_cpa / cpa) + math.log(roas / target_roas)) / 2


def _of(row: Mapping[str, Any], name: str, kind: str) -> float:
    return sum(float(entry["value"]) for entry in row.get(name, ()) if entry["action_type"] == kind)
