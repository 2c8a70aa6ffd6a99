"""Intake: which reviewed decisions may give rows at all."""

from schemas.identity import sha256
from schemas.records import Review
from streams.gates.gate import GateResult

NAME = "intake"
VERSION = "1"


def intake(review: Review) -> GateResult:
    """Reason codes: `test_split` (held out: never trained on), `declined_without_correction` (ask the
    expert), `outcome_already_known` (an approval given with hindsight)."""
    assert review.verdict is not None
    if review.split == "test":
        code = "test_split"
    elif review.verdict.kind == "decline":
        code = "declined_without_correction"
    elif review.verdict.kind == "approve" and review.verdict.outcome_known:
        code = "outcome_already_known"
    else:
        code = "ok"
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="pass" if code == "ok" else "reject",
        reason_code=code,
        input_hash=sha256(review.decision or b""),
        evidence={"kind": review.verdict.kind, "split": review.split},
    )
