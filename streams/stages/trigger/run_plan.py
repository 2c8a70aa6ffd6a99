"""One model run of a case, and which hinted run comes next."""

from dataclasses import dataclass

from schemas.records import CaseRequest, ReplayArm

STRENGTHS = (1, 2)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One model run of a case: arm, oracle strength (0 for none), sample from 0.

    A redecision or a judgement has the strength of its conversation; the sample of a judgement is the number
    of its judge.
    """

    arm: ReplayArm
    strength: int
    sample: int


def next_hinted(requests: tuple[CaseRequest, ...], samples: int) -> PlannedRun | None:
    """The next hinted run, of the weakest strength that has samples left; None: all are used up."""
    for strength in STRENGTHS:
        done = sum(one.arm == "opoi" and one.strength == strength for one in requests)
        if done < samples:
            return PlannedRun("opoi", strength, done)
    return None
