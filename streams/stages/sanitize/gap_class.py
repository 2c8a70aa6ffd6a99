"""The gap class of one corrected verdict, from the runs of its case."""

from schemas.records import Case, CaseArm, GapClass, GapReport
from streams.stages.sanitize.candidates import arm_of


def gap_report(case: Case) -> GapReport:
    """Classifies by hit rates; a hinted run with a miss does not count as a run."""
    unhinted = arm_of(case, "unhinted")
    hinted = arm_of(case, "opoi")
    ended = [one for one in unhinted.tries if one.status == "completed"]
    tried = [one for one in hinted.tries if one.status is not None]
    counted = [one for one in tried if not one.misses and one.status == "completed"]
    hits = sum(one.hit for one in ended)
    hinted_hits = sum(one.hit for one in counted)
    return GapReport(
        agent=case.agent,
        account_id=case.account_id,
        decision_id=case.decision_id,
        verdict_id=case.verdict_id,
        revision=case.revision,
        round=case.round,
        gap_class="version_skew"
        if case.stop_reason == "version_skew"
        else _gap_class(len(ended), hits, len(counted), hinted_hits, hinted),
        unhinted_runs=len(ended),
        unhinted_hits=hits,
        hinted_runs=len(counted),
        hinted_hits=hinted_hits,
        missed_runs=sum(one.misses > 0 for one in tried),
        reported_at=case.closed_at,
        caused_by=case.caused_by,
    )


def _gap_class(ended: int, hits: int, counted: int, hinted_hits: int, hinted: CaseArm) -> GapClass:
    if ended and 2 * hits >= ended:
        return "no_gap"
    if hits:
        return "performance_gap"
    if hinted_hits:
        clean = any(one.hit and one.failed_gate is None for one in hinted.tries)
        return "performance_gap" if clean else "obedience"
    if counted == 0:
        return "unreplayable"
    return "architecture_gap"
