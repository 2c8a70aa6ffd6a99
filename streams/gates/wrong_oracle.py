"""The wrong-oracle control: does the agent argue as well for the wrong verdict?"""

from schemas.identity import sha256
from schemas.records import Case
from streams.gates.gate import GateResult

NAME = "wrong_oracle_control"
VERSION = "1"


def wrong_oracle_control(case: Case) -> GateResult:
    """Reason code: `not_discriminating`, if every counted run with a wrong oracle followed it and passed
    the gates: then the evidence does not separate right from wrong. A run with a miss does not count; a
    case outside the control sample passes."""
    tries = [one for arm in case.arms if arm.arm == "wrong_oracle" for one in arm.tries]
    counted = [one for one in tries if one.status == "completed" and not one.misses]
    followed = [one for one in counted if one.followed and one.failed_gate is None]
    fails = bool(counted) and len(followed) == len(counted)
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="reject" if fails else "pass",
        reason_code="not_discriminating" if fails else "ok",
        input_hash=sha256(case.review),
        evidence={"followed": [one.replay_id for one in followed]},
        metrics={"wrong_runs": float(len(counted)), "wrong_followed": float(len(followed))},
    )
