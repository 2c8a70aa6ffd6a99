"""Intake: which reviewed decisions may give rows at all."""

from schemas.identity import sha256
from schemas.records import Review
from streams.gates.gate import GateResult

NAME = "intake"
VERSION = "1"


def intake(review: Review, actions: frozenset[str]) -> GateResult:
    """Reason codes: `test_split` (held out: never trained on), `declined_without_correction` (ask the
    expert), `outcome_already_known` (an approval given with hindsight), `unknown_action` (the corrected
    action is none of `actions`, the AgentSpec's enumeration)."""
    assert review.verdict is not None
    corrected = review.verdict.corrected_action
    if review.split == "test":
        code = "test_split"
    elif review.verdict.kind == "decline":
        code = "declined_without_correction"
    elif review.verdict.kind == "approve" and review.verdict.outcome_known:
        code = "outcome_already_known"
    elif corrected is not None and corrected.name not in actions:
        code = "unknown_action"
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
