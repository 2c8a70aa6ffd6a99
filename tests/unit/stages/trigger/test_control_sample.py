"""The control sample: who is in it, what runs there, and which action is the wrong one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Action, Case, ReplayRequest
from streams.core.contract import Output
from streams.core.dependencies import Dependencies
from streams.stages.trigger.control_sample import ControlRules, in_sample, place, wrong_verdict
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.step import Trigger
from testkit.builders import action, codec, conversation, decision, of_type, verdict
from tests.unit.stages.trigger.test_trigger import BUDGET, UP, Table

ACTIONS = ("hold", "pause", "resume", "scale_down", "scale_up")


class Controlled(Table):
    """A case of the control sample."""

    def __init__(
        self, ports: Dependencies, judges: tuple[str, ...] = (), corrector: str | None = None
    ) -> None:
        super().__init__(ports)
        controls = ControlRules(share=1.0, runs=3, judges=judges, corrector=corrector)
        rules = TriggerRules(budget=BUDGET, controls=controls, deadline=timedelta(hours=1))
        self.step = Trigger(rules, ports)

    def first_runs(
        self,
        hinted: Action,
        wrong: Action,
        corrector: Action | None = UP,
        unhinted: Action | None = None,
        wrong_rationale: str = "Costs rose yesterday.",
    ) -> tuple[Output, ...]:
        self.review()
        for sample in range(3):
            self.answer("unhinted", 0, sample, unhinted or action())
            self.answer("opoi", 1, sample, hinted)
            if corrector is None:
                gone = {"status": "version_skew", "reason": "model_gone: 404", "attempts": 1}
                self.answer("corrector_sft", 0, sample, None, **gone)
            else:
                turns = conversation("The week earned well.", corrector)
                self.answer("corrector_sft", 0, sample, corrector, turns=turns)
        [request] = [one for one in self.requests.values() if one.arm == "wrong_oracle"]
        turns = conversation(wrong_rationale, wrong, request.oracle)
        return self.answer("wrong_oracle", 1, 0, wrong, turns=turns)

    def redecided(self, decided: Action) -> tuple[Output, ...]:
        outputs: tuple[Output, ...] = ()
        for sample in range(3):
            outputs = self.answer("redecision", 1, sample, decided)
        return outputs


def _wrong() -> Action:
    found = wrong_verdict(verdict(kind="correct"), decision(), ACTIONS)
    assert found is not None
    assert found.corrected_action is not None
    return found.corrected_action


DOWN = _wrong()
"""What the wrong oracle of the tests' decision names."""


@pytest.fixture
def table(ports: Dependencies) -> Controlled:
    return Controlled(ports)


def arms(requests: Any) -> list[tuple[str, int, int]]:
    return [(one.arm, one.strength, one.sample) for one in requests]


def test_a_control_case_runs_every_arm_a_fixed_number_of_times(table: Controlled) -> None:
    asked = of_type(table.review(), ReplayRequest)
    fixed = [(arm, s) for arm, s in (("unhinted", 0), ("opoi", 1), ("corrector_sft", 0))]
    assert arms(asked) == [(*one, sample) for one in fixed for sample in range(3)] + [("wrong_oracle", 1, 0)]
    by_arm = {one.arm: one for one in asked}
    assert DOWN.name in by_arm["wrong_oracle"].oracle
    assert "scale_up" in by_arm["opoi"].oracle
    assert by_arm["corrector_sft"].verdict == verdict(kind="correct")
    assert {one.arm for one in asked if one.verdict is None} == {"unhinted", "opoi", "wrong_oracle"}


def test_the_corrector_is_the_model_of_the_rules_else_the_agents_own(ports: Dependencies) -> None:
    own = {one.target.model for one in of_type(Controlled(ports).review(), ReplayRequest)}
    assert own == {decision().model}
    asked = of_type(Controlled(ports, corrector="bare").review(), ReplayRequest)
    assert {one.target.model for one in asked if one.arm == "corrector_sft"} == {"bare"}
    assert {one.target.model for one in asked if one.arm != "corrector_sft"} == own


def test_a_hit_is_decided_anew_without_its_oracle_and_judged(ports: Dependencies) -> None:
    table = Controlled(ports, judges=("judge-a", "judge-b"))
    asked = of_type(table.first_runs(hinted=UP, wrong=action()), ReplayRequest)
    assert arms(asked) == [
        *(("redecision", 1, sample) for sample in range(3)),
        *(("judge", 1, judge) for judge in range(2)),
        *(("judge", 0, judge) for judge in range(2)),
    ]
    assert [one.target.model for one in asked if one.arm == "judge"] == ["judge-a", "judge-b"] * 2
    assert all(one.turns for one in asked)
    assert not any(part.is_oracle for one in asked for turn in one.turns for part in turn.parts)
    again = table.step.on_event(table.state, table.fed[-1])
    assert of_type(again.outputs, ReplayRequest) == asked
    table.redecided(UP)
    for strength in (0, 1):
        for judge in range(2):
            outputs = table.answer("judge", strength, judge, Action(name="pass"))
    [case] = of_type(outputs, Case)
    assert (case.control_sample, case.stop_reason) == (True, "opoi_hit")
    assert [arm.arm for arm in case.arms] == [
        "unhinted", "opoi", "wrong_oracle", "corrector_sft", "redecision", "judge",
    ]  # fmt: skip
    assert [arm.hits for arm in case.arms] == [0, 3, 0, 3, 3, 0]
    kept = {arm.arm for arm in case.arms if any(one.trace for one in arm.tries)}
    assert kept == {"unhinted", "opoi", "corrector_sft"}


@pytest.mark.parametrize("judges", [(), ("judge-a",)])
def test_an_agent_over_http_does_not_decide_anew(ports: Dependencies, judges: tuple[str, ...]) -> None:
    table = Controlled(replace(ports, is_remote=lambda _: True), judges=judges)
    outputs = table.first_runs(hinted=UP, wrong=action())
    asked = [(one.arm, one.strength) for one in of_type(outputs, ReplayRequest)]
    assert asked == [("judge", strength) for strength in (1, 0) for _ in judges]
    for _, strength in asked:
        outputs = table.answer("judge", strength, 0, Action(name="pass"))
    [case] = of_type(outputs, Case)
    assert (case.control_sample, case.stop_reason) == (True, "opoi_hit")


def test_an_unhinted_hit_does_not_end_a_control_case_early(table: Controlled) -> None:
    outputs = table.first_runs(hinted=action(), wrong=action(), unhinted=UP)
    [case] = of_type(outputs, Case)
    assert case.stop_reason == "unhinted_hit"
    assert len(case.arms) == 4


def test_what_follows_a_wrong_oracle_is_told_from_a_hit(table: Controlled) -> None:
    table.first_runs(hinted=UP, wrong=DOWN)
    [case] = of_type(table.redecided(action()), Case)
    by_arm = {arm.arm: arm.tries for arm in case.arms}
    assert [(one.hit, one.followed) for one in by_arm["wrong_oracle"]] == [(False, True)]
    assert [(one.hit, one.followed) for one in by_arm["opoi"]] == [(True, True)] * 3
    assert [(one.hit, one.followed) for one in by_arm["redecision"]] == [(False, False)] * 3


def test_a_held_out_decision_is_never_a_control(table: Controlled) -> None:
    assert {one.arm for one in of_type(table.review(split="test"), ReplayRequest)} == {"unhinted"}


def test_outside_the_sample_the_corrector_runs_once_where_its_share_says_so(ports: Dependencies) -> None:
    table = Table(ports)
    rules = TriggerRules(budget=BUDGET, controls=ControlRules(corrector_share=1.0))
    table.step = Trigger(rules, ports)
    asked = of_type(table.review(), ReplayRequest)
    assert arms(asked) == [*(("unhinted", 0, sample) for sample in range(3)), ("corrector_sft", 0, 0)]


@given(st.integers(), st.floats(0, 1), st.floats(0, 1))
def test_the_sample_only_grows_with_its_share(number: int, one: float, other: float) -> None:
    made = decision(f"d{number}")
    small, large = sorted((one, other))
    assert in_sample(ControlRules(share=large), made, "train", 0) or not in_sample(
        ControlRules(share=small), made, "train", 0
    )


@pytest.mark.parametrize(
    ("threshold", "split", "expected"),
    [(None, "train", False), (9600, "train", False), (9599, "train", True), (9599, "test", False)],
)
def test_a_decision_that_moves_much_money_is_a_control(
    ports: Dependencies, threshold: float | None, split: str, expected: bool
) -> None:
    table = Table(ports)
    rules = TriggerRules(budget=BUDGET, controls=ControlRules(spend=threshold))
    table.step = Trigger(rules, ports)
    made = codec.encode("agent.decisions", decision(decided=action("scale_up", daily_budget=9600)))
    asked = of_type(table.review(split=split, decision=made), ReplayRequest)
    assert ("wrong_oracle" in {one.arm for one in asked}) is expected


def test_the_share_is_kept_and_one_draw_says_nothing_about_another() -> None:
    ids = [f"d{number}" for number in range(4000)]
    control = {one for one in ids if place("control", "a", one) < 0.2}
    corrector = {one for one in ids if place("corrector", "a", one) < 0.2}
    assert 0.18 < len(control) / len(ids) < 0.22
    assert 0.15 < len(control & corrector) / len(control) < 0.25


@given(st.integers(), st.sampled_from(ACTIONS), st.sampled_from(ACTIONS))
def test_the_wrong_action_is_neither_the_experts_nor_the_agents(number: int, right: str, own: str) -> None:
    made = decision(f"d{number}", action(own))
    given_verdict = verdict(kind="correct", corrected_action=action(right, "c9"))
    wrong = wrong_verdict(given_verdict, made, ACTIONS)
    assert wrong is not None
    assert wrong.corrected_action is not None
    assert wrong.corrected_action.name in set(ACTIONS) - {right, own}
    assert (wrong.corrected_action.target, wrong.rationale) == ("c9", None)
    assert wrong == wrong_verdict(given_verdict, made, tuple(reversed(ACTIONS)))


def test_with_two_actions_the_agents_own_is_the_wrong_one_and_with_one_there_is_none() -> None:
    given_verdict = verdict(kind="correct")
    wrong = wrong_verdict(given_verdict, decision(), ("hold", "scale_up"))
    assert wrong is not None
    assert wrong.corrected_action is not None
    assert wrong.corrected_action.name == "hold"
    assert wrong_verdict(given_verdict, decision(), ("scale_up",)) is None
