"""The sanitizer: one outcome per dataset arm, a record of every gate, withdrawals."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    Action,
    Case,
    Disposition,
    GapReport,
    GateRecord,
    Rejection,
    TrainingExample,
)
from streams.core.contract import Output, Poison
from streams.core.dependencies import Dependencies
from streams.stages.sanitize.candidates import DATASET_ARMS
from streams.stages.sanitize.step import Sanitize
from testkit.builders import action, codec, conversation, event, of_type, verdict
from tests.unit.stages.trigger.test_control_sample import DOWN, Controlled
from tests.unit.stages.trigger.test_trigger import UP, Table, review

LEAK = "As advised, budgets go up."


@pytest.fixture
def step(ports: Dependencies) -> Sanitize:
    return Sanitize(ports)


@pytest.fixture
def table(ports: Dependencies) -> Table:
    return Table(ports)


def sanitize(step: Sanitize, case: Case) -> tuple[Output, ...]:
    made = event("opoi.cases", case)
    outputs = step.on_event(made)
    assert len(of_type(outputs, Disposition)) == 1
    assert outputs == step.on_event(made), "the same input gives the same bytes"
    return outputs


def last_case(table: Table) -> Case:
    found: Case = of_type(table.outputs, Case)[-1]
    return found


def arms(outputs: tuple[Output, ...]) -> dict[str, str]:
    return {one.arm: one.source for one in of_type(outputs, TrainingExample) if one.state == "live"}


def test_an_approved_decision_gives_its_own_trace_to_every_arm(step: Sanitize, table: Table) -> None:
    table.review(verdict=verdict())
    outputs = sanitize(step, last_case(table))
    assert arms(outputs) == dict.fromkeys(DATASET_ARMS, "own_trace")
    example = of_type(outputs, TrainingExample)[0]
    assert example.gap_class is None
    assert {one.kind for one in example.lineage} >= {"decision", "verdict", "system_prompt", "gate_set"}
    assert not of_type(outputs, GapReport)


def test_an_unhinted_hit_is_the_example_and_rarer_weighs_more(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(action(), UP, action())
    outputs = sanitize(step, last_case(table))
    assert arms(outputs) == dict.fromkeys(("unhinted_control", "rejection_sampled", "opoi"), "unhinted")
    rows = {one.arm: one for one in of_type(outputs, TrainingExample)}
    assert rows["opoi"].action == UP
    assert rows["unhinted_control"].action == action(), "the control is one run whatever its action"
    assert (rows["opoi"].weight, rows["opoi"].gap_class) == (1.0, "performance_gap")


def test_always_hit_is_no_gap_and_weighs_little(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(UP, UP, UP)
    outputs = sanitize(step, last_case(table))
    [report] = of_type(outputs, GapReport)
    assert (report.gap_class, report.unhinted_hits) == ("no_gap", 3)
    assert of_type(outputs, TrainingExample)[-1].weight == pytest.approx(1 / 3)


def test_a_hinted_hit_is_an_opoi_row_without_its_oracle(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    table.answer("opoi", 1, 0, UP)
    outputs = sanitize(step, last_case(table))
    assert arms(outputs) == {"unhinted_control": "unhinted", "opoi": "hinted"}
    [row] = [one for one in of_type(outputs, TrainingExample) if one.arm == "opoi"]
    assert not any(part.is_oracle for turn in row.turns for part in turn.parts)
    assert b"0123456789abcdef" not in codec.encode("opoi.training-examples", row)
    assert "trace" in {one.kind for one in row.lineage}
    [refused] = of_type(outputs, Rejection)
    assert (refused.arm, refused.reason_code) == ("rejection_sampled", "no_unhinted_hit")
    gates = [one.gate for one in of_type(outputs, GateRecord) if one.arm == "opoi"]
    assert gates == ["structural_removal", "leak", "row_validity"]


def test_only_leaking_hits_are_obedience_without_a_row(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    for strength in (1, 2):
        for sample in range(3):
            [request] = [
                one
                for one in table.requests.values()
                if (one.arm, one.strength, one.sample) == ("opoi", strength, sample)
            ]
            leaking = conversation(LEAK, UP, request.oracle)
            table.answer("opoi", strength, sample, UP, turns=leaking)
    outputs = sanitize(step, last_case(table))
    assert arms(outputs) == {"unhinted_control": "unhinted"}
    [report] = of_type(outputs, GapReport)
    assert report.gap_class == "obedience"
    assert "refused_by_leak" in {one.reason_code for one in of_type(outputs, Rejection)}


def test_an_action_that_is_never_reached_is_an_architecture_gap(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    for strength in (1, 2):
        for sample in range(3):
            table.answer("opoi", strength, sample, action())
    outputs = sanitize(step, last_case(table))
    [report] = of_type(outputs, GapReport)
    assert (report.gap_class, report.hinted_runs) == ("architecture_gap", 6)


def test_only_tool_misses_are_unreplayable(step: Sanitize, table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    for strength in (1, 2):
        for sample in range(3):
            table.answer("opoi", strength, sample, UP, misses=1)
    [report] = of_type(sanitize(step, last_case(table)), GapReport)
    assert (report.gap_class, report.missed_runs) == ("unreplayable", 6)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verdict": verdict(kind="decline")}, "declined_without_correction"),
        ({"verdict": verdict(), "split": "test"}, "test_split"),
        ({"verdict": verdict(outcome_known=True)}, "outcome_already_known"),
        ({"verdict": verdict(kind="correct", corrected_action=action("explode"))}, "unknown_action"),
        *(
            (
                {
                    "verdict": verdict(
                        kind="correct", corrected_action=Action(name="pause", arguments_json=broken)
                    )
                },
                "broken_arguments",
            )
            for broken in ("[9600]", "null", "{", '{"daily_budget":1e400}', "[" * 100_000)
        ),
    ],
)
def test_intake_refuses(step: Sanitize, table: Table, changes: dict[str, Any], code: str) -> None:
    table.review(**changes)
    outputs = sanitize(step, last_case(table))
    assert arms(outputs) == {}
    assert [one.reason_code for one in of_type(outputs, Rejection)] == [code]
    [said] = of_type(outputs, Disposition)
    assert (said.outcome, said.reason) == ("rejected", code)


def test_a_withdrawal_withdraws_every_arm_with_a_higher_version(step: Sanitize, table: Table) -> None:
    table.review(verdict=verdict())
    live = of_type(sanitize(step, last_case(table)), TrainingExample)
    taken = verdict(kind="retract", revision=2)
    table.review(verdict=taken, status="retracted", decision=None, split=None)
    gone = of_type(sanitize(step, last_case(table)), TrainingExample)
    assert {one.state for one in gone} == {"withdrawn"}
    assert min(one.issue_number for one in gone) > max(one.issue_number for one in live)
    assert {one.withdrawn_reason for one in gone} == {"retracted"}


def issue(table: Table, kind: str, revision: int) -> None:
    """Another verdict on the decision, to the closing of its case."""
    match kind:
        case "retract" | "conflict":
            status = "retracted" if kind == "retract" else "conflict"
            taken = verdict(kind="retract" if kind == "retract" else "decline", revision=revision)
            table.review(verdict=taken, status=status, decision=None, split=None)
        case "approve" | "decline":
            table.review(verdict=verdict(kind=kind, revision=revision))
        case "held_out":
            table.review(verdict=verdict(revision=revision), split="test")
        case _:
            table.requests = {}
            table.review(verdict=verdict(kind="correct", revision=revision))
            if kind == "reached":
                table.unhinted(action(), UP, action())
            elif kind == "hinted":
                table.unhinted(action(), action(), action())
                table.answer("opoi", 1, 0, UP)
            else:
                table.answer("unhinted", 0, 0, action())
                assert table.state is not None
                due = table.state.deadline_at
                assert due is not None
                result = table.step.on_deadline(table.state, "media_buyer/d1", due + timedelta(seconds=1))
                table.state = result.state
                table.outputs += result.outputs


KINDS = ["approve", "decline", "held_out", "reached", "hinted", "deadline", "retract", "conflict"]


@settings(max_examples=60, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
def test_what_is_live_is_what_the_last_issue_gave(ports: Dependencies, kinds: list[str]) -> None:
    step, table = Sanitize(ports), Table(ports)
    for revision, kind in enumerate(kinds, start=1):
        issue(table, kind, revision)
    issues = [sanitize(step, case) for case in of_type(table.outputs, Case)]
    standing: dict[str, TrainingExample] = {}
    for outputs in issues:
        for row in of_type(outputs, TrainingExample):
            assert row.arm not in standing or row.issue_number > standing[row.arm].issue_number
            standing[row.arm] = row
    live = {arm: row.source for arm, row in standing.items() if row.state == "live"}
    assert live == (arms(issues[-1]) if issues else {})


def test_an_approval_that_becomes_a_decline_takes_its_rows_back(step: Sanitize, table: Table) -> None:
    table.review(verdict=verdict())
    first = sanitize(step, last_case(table))
    table.review(verdict=verdict(kind="decline", revision=2))
    second = sanitize(step, last_case(table))
    gone = of_type(second, TrainingExample)
    assert {one.arm for one in gone} == set(arms(first)) == set(DATASET_ARMS)
    assert {(one.state, one.withdrawn_reason, one.issue_number) for one in gone} == {
        ("withdrawn", "newer_verdict", 2)
    }
    [said] = of_type(second, Disposition)
    assert (said.outcome, said.reason) == ("rejected", "declined_without_correction")


def test_a_first_issue_withdraws_nothing(step: Sanitize, table: Table) -> None:
    table.review(verdict=verdict(kind="decline"))
    assert not of_type(sanitize(step, last_case(table)), TrainingExample)


def test_a_case_without_its_decision_is_poison(step: Sanitize, table: Table) -> None:
    table.review(verdict=verdict())
    hollow = codec.encode("opoi.reviews", review(decision=None))
    broken = last_case(table).model_copy(update={"review": hollow})
    with pytest.raises(Poison, match="lacks its decision"):
        step.on_event(event("opoi.cases", broken, seconds=1))


@pytest.fixture
def controlled(ports: Dependencies) -> Controlled:
    return Controlled(ports)


def test_the_correctors_rewrite_is_a_row_of_its_own_arm_alone(step: Sanitize, controlled: Controlled) -> None:
    controlled.first_runs(hinted=UP, wrong=action())
    controlled.redecided(UP)
    outputs = sanitize(step, last_case(controlled))
    assert arms(outputs)["corrector_sft"] == "corrector"
    assert {one for arm, one in arms(outputs).items() if arm != "corrector_sft"} == {"unhinted", "hinted"}
    gates = [one.gate for one in of_type(outputs, GateRecord) if one.arm == "corrector_sft"]
    assert gates == ["row_validity"]
    gates = [one.gate for one in of_type(outputs, GateRecord) if one.arm == "opoi"]
    assert gates == ["wrong_oracle_control", "structural_removal", "leak", "row_validity"]


def test_a_rewrite_without_the_experts_action_is_no_row(step: Sanitize, controlled: Controlled) -> None:
    controlled.first_runs(hinted=UP, wrong=action(), corrector=action())
    controlled.redecided(UP)
    outputs = sanitize(step, last_case(controlled))
    assert "corrector_sft" not in arms(outputs)
    [refused] = [one for one in of_type(outputs, Rejection) if one.arm == "corrector_sft"]
    assert (refused.gate, refused.reason_code) == ("corrector", "action_not_reached")


def test_who_argues_as_well_for_the_wrong_verdict_teaches_nothing(
    step: Sanitize, controlled: Controlled
) -> None:
    controlled.first_runs(hinted=UP, wrong=DOWN)
    controlled.redecided(UP)
    outputs = sanitize(step, last_case(controlled))
    assert set(arms(outputs)) == {"unhinted_control", "corrector_sft"}
    [refused] = [one for one in of_type(outputs, Rejection) if one.arm == "opoi"]
    assert (refused.gate, refused.reason_code) == ("wrong_oracle_control", "not_discriminating")


def test_a_wrong_run_that_gives_itself_away_says_nothing(step: Sanitize, controlled: Controlled) -> None:
    controlled.first_runs(hinted=UP, wrong=DOWN, wrong_rationale=LEAK)
    controlled.redecided(UP)
    assert "opoi" in arms(sanitize(step, last_case(controlled)))


def test_a_corrector_whose_model_is_gone_says_nothing_of_the_agent(
    step: Sanitize, controlled: Controlled
) -> None:
    controlled.first_runs(hinted=UP, wrong=action(), corrector=None)
    controlled.redecided(UP)
    case = last_case(controlled)
    assert (case.stop_reason, case.missing) == ("opoi_hit", None)
    assert "opoi" in arms(sanitize(step, case))


def test_what_no_longer_runs_is_a_version_skew_that_names_it(step: Sanitize, table: Table) -> None:
    table.review()
    gone = "artifact_missing: no system prompt abc is known"
    for sample in range(3):
        table.answer("unhinted", 0, sample, None, status="version_skew", reason=gone, attempts=0)
    case = last_case(table)
    assert (case.status, case.stop_reason, case.missing) == ("complete", "version_skew", gone)
    outputs = sanitize(step, case)
    [report] = of_type(outputs, GapReport)
    assert report.gap_class == "version_skew"
    assert arms(outputs) == {}
    assert {(one.gate, one.reason_code) for one in of_type(outputs, Rejection)} == {
        ("replay_readiness", "version_skew")
    }
