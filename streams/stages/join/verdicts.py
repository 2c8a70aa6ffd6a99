"""Which of the verdicts on one decision counts."""

from dataclasses import dataclass

from schemas.identity import canonical
from schemas.records import JoinVerdict, ReviewStatus


@dataclass(frozen=True, slots=True)
class Position:
    """The result of the verdicts on a decision. `verdict` is the one that counts or, in a conflict, the one
    that came last."""

    status: ReviewStatus
    verdict: JoinVerdict
    conflicting: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[ReviewStatus, str, int]:
        """Identity of its review among those of the decision: status, verdict_id, revision."""
        return (self.status, self.verdict.verdict.verdict_id, self.verdict.verdict.revision)


def _stance(held: JoinVerdict) -> tuple[str, ...]:
    action = held.verdict.corrected_action
    if action is None:
        return (held.verdict.kind,)
    return (held.verdict.kind, action.name, action.target or "", canonical(action.arguments_json))


def position(verdicts: tuple[JoinVerdict, ...]) -> Position | None:
    """The result of `verdicts`, in order of arrival and one per verdict_id; None: no verdict is valid.

    Two experts who disagree are a conflict until a verdict adjudicates those it differs from.
    """
    live = [held for held in verdicts if held.verdict.kind != "retract"]
    if not live:
        return None
    deciding = [held for held in live if held.verdict.adjudicates]
    if deciding:
        judge = deciding[-1]
        settled = set(judge.verdict.adjudicates)
        live = [judge] + [
            held for held in live if held is not judge and held.verdict.verdict_id not in settled
        ]
    if len({_stance(held) for held in live}) == 1:
        return Position("joined", live[0])
    last = max(live, key=lambda held: (held.arrived_at, held.cause.offset, held.cause.topic))
    return Position("conflict", last, tuple(sorted(held.verdict.verdict_id for held in live)))
