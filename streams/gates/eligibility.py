"""Intake: which reviewed decisions may give rows."""

from collections.abc import Collection

from schemas.identity import json_object, sha256
from schemas.records import Action, Review
from streams.gates.gate import GateResult
from streams.gates.reason_codes import ReasonCode

NAME = "intake"
VERSION = "2"


def intake(review: Review, actions: Collection[str]) -> GateResult:
    """Reason codes: `test_split` (held out: never trained on), `declined_without_correction` (ask the
    expert), `outcome_already_known` (an approval given with hindsight), and those of `unusable`.

    `actions` are the AgentSpec's enumeration."""
    assert review.verdict is not None
    corrected = review.verdict.corrected_action
    code: ReasonCode
    if review.split == "test":
        code = "test_split"
    elif review.verdict.kind == "decline":
        code = "declined_without_correction"
    elif review.verdict.kind == "approve" and review.verdict.outcome_known:
        code = "outcome_already_known"
    elif corrected is not None and (refused := unusable(corrected, actions)):
        code = refused
    else:
        code = "ok"
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="pass" if code == "ok" else "reject",
        reason_code=code,
        input_hash=sha256(review.decision or b""),
        evidence={
            "kind": review.verdict.kind,
            "split": review.split,
            "action": corrected.name if corrected else None,
        },
    )


def unusable(corrected: Action, actions: Collection[str]) -> ReasonCode | None:
    """Why no run can be compared with a corrected action: `unknown_action` (it is none of `actions`) or
    `broken_arguments` (they are no JSON object); None if a run can."""
    if corrected.name not in actions:
        return "unknown_action"
    try:
        json_object(corrected.arguments_json)
    except ValueError:
        return "broken_arguments"
    return None
