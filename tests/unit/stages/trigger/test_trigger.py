"""The trigger: runs by rule, first trace counts, deadlines, newer verdicts, redelivery."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    Budget,
    Cancellation,
    Case,
    CaseState,
    Disposition,
    Rejection,
    ReplayRequest,
    Review,
)
from streams.core.contract import Coordinates, Event, Output, Poison, Transition
from streams.core.dependencies import Dependencies
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.step import Trigger
from testkit.builders import action, at, codec, conversation, decision, event, of_type, trace, verdict

BUDGET = Budget(max_turns=10, max_output_tokens=1000, max_seconds=60)
UP = action("scale_up", daily_budget=12000)


def review(**changes: Any) -> Review:
    """A joined review of a corrected decision."""
    given = changes.pop("verdict", verdict(kind="correct"))
    fields: dict[str, Any] = {
        "agent": "media_buyer",
        "account_id": "a1",
        "decision_id": "d1",
        "status": "joined",
        "verdict_id": given.verdict_id,
        "revision": given.revision,
        "decision": codec.encode("agent.decisions", decision()),
        "verdict": given,
        "split": "train",
        "time_to_verdict_ms": 1000,
        "reviewed_at": at(0),
    }
    return Review(**(fields | changes))


class Table:
    """One case's state, fed through the step as a shell would."""

    def __init__(self, ports: Dependencies) -> None:
        self.step = Trigger(TriggerRules(budget=BUDGET, deadline=timedelta(hours=1)), ports)
        self.state: CaseState | None = None
        self.requests: dict[str, ReplayRequest] = {}
        self.outputs: list[Output] = []
        self.fed: list[Event] = []

    def feed(self, made: Event) -> tuple[Output, ...]:
        result: Transition[CaseState] = self.step.on_event(self.state, made)
        place = (made.coordinates.topic, made.coordinates.offset)
        own = [one for one in of_type(result.outputs, Disposition) if (one.topic, one.offset) == place]
        assert len(own) == 1, "exactly one disposition of the input itself"
        self.state = result.state
        self.outputs += result.outputs
        self.fed.append(made)
        self.requests |= {one.replay_id: one for one in of_type(result.outputs, ReplayRequest)}
        return result.outputs

    def review(self, **changes: Any) -> tuple[Output, ...]:
        return self.feed(event("opoi.reviews", review(**changes)))

    def answer(
        self, arm: str, strength: int, sample: int, decided: Any, **changes: Any
    ) -> tuple[Output, ...]:
        [request] = [
            one
            for one in self.requests.values()
            if (one.arm, one.strength, one.sample) == (arm, strength, sample)
        ]
        return self.feed(event("opoi.traces", trace(request, decided, **changes)))

    def unhinted(self, *decided: Any) -> tuple[Output, ...]:
        outputs: tuple[Output, ...] = ()
        for sample, one in enumerate(decided):
            outputs = self.answer("unhinted", 0, sample, one)
        return outputs

    def closing(self) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        for one in of_type(self.outputs, Disposition):
            if one.outcome != "pending" or (one.topic, one.offset) not in found:
                found[one.topic, one.offset] = one.outcome
        return found


@pytest.fixture
def table(ports: Dependencies) -> Table:
    return Table(ports)


@pytest.mark.parametrize("kind", ["approve", "decline"])
def test_what_needs_no_run_is_a_case_at_once(table: Table, kind: str) -> None:
    [case] = of_type(table.review(verdict=verdict(kind=kind)), Case)
    assert (case.status, case.arms, case.issue_number) == ("complete", (), 1)
    assert set(table.closing().values()) == {"emitted"}


def test_a_correction_asks_for_unhinted_runs_first(table: Table) -> None:
    table.review()
    found = [(one.arm, one.strength, one.sample, one.oracle) for one in table.requests.values()]
    assert found == [("unhinted", 0, sample, None) for sample in range(3)]


def test_an_unhinted_hit_needs_no_oracle(table: Table) -> None:
    table.review()
    [case] = of_type(table.unhinted(action(), UP, action()), Case)
    [arm] = case.arms
    assert (arm.arm, arm.hits, arm.stop_reason) == ("unhinted", 1, "unhinted_hit")
    kept = [one.sample for one in arm.tries if one.trace is not None]
    assert kept == [0, 1], "the first completed run and the hit"
    assert set(table.closing().values()) == {"emitted"}


def test_the_weaker_oracle_comes_first_and_a_hit_ends_it(table: Table) -> None:
    table.review()
    [request] = of_type(table.unhinted(action(), action(), action()), ReplayRequest)
    assert (request.arm, request.strength, request.sample) == ("opoi", 1, 0)
    assert request.oracle is not None
    assert "yesterday" not in request.oracle
    [case] = of_type(table.answer("opoi", 1, 0, UP), Case)
    assert case.arms[1].chosen_replay_id == request.replay_id
    assert case.arms[1].stop_reason == "opoi_hit"


def test_samples_then_the_stronger_oracle_then_the_end(table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    outputs: tuple[Output, ...] = ()
    for strength in (1, 2):
        for sample in range(3):
            outputs = table.answer("opoi", strength, sample, action())
    [case] = of_type(outputs, Case)
    assert case.arms[1].stop_reason == "tries_used_up"
    assert case.arms[1].chosen_replay_id is None
    assert len(table.requests) == 9


def test_a_leaking_hit_is_refused_and_sampled_again(table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    [first] = [one for one in table.requests.values() if one.arm == "opoi"]
    leaking = conversation("As advised, budgets go up.", UP, first.oracle)
    [request] = of_type(table.answer("opoi", 1, 0, UP, turns=leaking), ReplayRequest)
    assert (request.strength, request.sample) == (1, 1)
    assert table.state is not None
    assert table.state.requests[3].failed_gate == "leak"


def test_a_hinted_hit_with_a_tool_miss_does_not_count(table: Table) -> None:
    table.review()
    table.unhinted(action(), action(), action())
    [request] = of_type(table.answer("opoi", 1, 0, UP, misses=1), ReplayRequest)
    assert request.sample == 1


def test_the_test_split_gets_unhinted_runs_only(table: Table) -> None:
    table.review(split="test")
    [case] = of_type(table.unhinted(action(), action(), action()), Case)
    assert [arm.arm for arm in case.arms] == ["unhinted"]
    assert case.arms[0].stop_reason == "test_split"


def test_the_first_trace_of_a_replay_counts(table: Table) -> None:
    table.review()
    table.answer("unhinted", 0, 0, action())
    outputs = table.answer("unhinted", 0, 0, UP)
    [said] = of_type(outputs, Disposition)
    assert (said.outcome, said.reason) == ("duplicate", "duplicate_run")
    table.answer("unhinted", 0, 1, action())
    [request] = of_type(table.answer("unhinted", 0, 2, action()), ReplayRequest)
    assert request.arm == "opoi", "the second run's hit was not counted"


def test_a_deadline_closes_with_what_there_is(table: Table) -> None:
    table.review()
    table.answer("unhinted", 0, 0, action())
    assert table.state is not None
    due = table.step.deadline(table.state)
    assert due is not None
    result = table.step.on_deadline(table.state, "media_buyer/d1", due + timedelta(seconds=5))
    [case] = of_type(result.outputs, Case)
    assert (case.status, case.closed_at) == ("deadline", due)
    assert [one.status for one in case.arms[0].tries] == ["completed", None, None]
    again = table.step.on_deadline(table.state, "media_buyer/d1", due + timedelta(seconds=50))
    assert again.outputs == result.outputs, "whichever tick fires it, the bytes are the same"
    table.state = result.state
    outputs = table.answer("unhinted", 0, 1, UP)
    assert [one.reason for one in of_type(outputs, Disposition)] == ["case_is_closed"]


def test_a_newer_revision_replaces_the_case(table: Table) -> None:
    table.review()
    old = next(iter(table.requests.values()))
    newer = verdict(kind="correct", revision=2, corrected_action=action("pause"))
    outputs = table.review(verdict=newer)
    assert {one.revision for one in of_type(outputs, ReplayRequest)} == {2}
    outputs = table.feed(event("opoi.traces", trace(old, UP)))
    assert [one.outcome for one in of_type(outputs, Disposition)] == ["superseded"]
    assert table.closing()["opoi.reviews", table.fed[0].coordinates.offset] == "superseded"


def test_a_retraction_withdraws_what_went_out(table: Table) -> None:
    table.review(verdict=verdict())
    taken = verdict(kind="retract", revision=2)
    [case] = of_type(table.review(verdict=taken, status="retracted", decision=None, split=None), Case)
    assert (case.status, case.issue_number) == ("withdrawn", 2)
    [again] = of_type(table.review(verdict=verdict(verdict_id="v2")), Case)
    assert (again.status, again.issue_number) == ("complete", 3)


def test_a_conflict_is_held_until_a_later_review(table: Table) -> None:
    outputs = table.review(status="conflict", verdict=verdict(kind="decline", verdict_id="v2"))
    assert [one.outcome for one in of_type(outputs, Disposition)] == ["pending"]
    ruling = verdict(verdict_id="v3", adjudicates=("v1", "v2"))
    [case] = of_type(table.review(verdict=ruling), Case)
    assert case.verdict_id == "v3"
    assert sorted(table.closing().values()) == ["emitted", "superseded"]


def test_an_unasked_trace_is_a_rejection(table: Table, ports: Dependencies) -> None:
    table.review()
    stranger = next(iter(table.requests.values())).model_copy(update={"replay_id": "nobody-asked"})
    [refused] = of_type(table.feed(event("opoi.traces", trace(stranger, UP))), Rejection)
    assert refused.reason_code == "unknown_replay"


def test_redelivery_repeats_the_very_bytes(table: Table) -> None:
    def again(made: Event, first: tuple[Output, ...]) -> None:
        assert table.state is not None
        result = table.step.on_event(table.state, made)
        assert result.state == table.state
        wanted = [one for one in first if not isinstance(one.record, Disposition)]
        assert [one for one in result.outputs if not isinstance(one.record, Disposition)] == wanted
        assert set(of_type(first, Disposition)) <= set(of_type(result.outputs, Disposition)) | {
            one for one in of_type(first, Disposition) if one.outcome == "pending"
        }

    again(table.fed[-1], first) if (first := table.review()) else None
    for sample in range(3):
        first = table.answer("unhinted", 0, sample, action())
        again(table.fed[-1], first)
    first = table.answer("opoi", 1, 0, UP)
    assert of_type(first, Case)
    again(table.fed[-1], first)


def test_a_newer_revision_calls_off_what_is_still_open(table: Table) -> None:
    table.review()
    assert table.state is not None
    until = table.state.deadline_at
    table.answer("unhinted", 0, 0, action())
    newer = verdict(kind="correct", revision=2, corrected_action=action("pause"))
    outputs = table.review(verdict=newer)
    [cancelled] = of_type(outputs, Cancellation)
    assert (cancelled.decision_id, cancelled.case_number, cancelled.until) == ("d1", 2, until)
    assert {one.case_number for one in of_type(outputs, ReplayRequest)} == {2}
    again = table.step.on_event(table.state, table.fed[-1])
    assert of_type(again.outputs, Cancellation) == [cancelled]
    superseded = [one for one in of_type(outputs, Disposition) if one.outcome == "superseded"]
    assert len(superseded) == 2
    assert [one for one in of_type(again.outputs, Disposition) if one.outcome == "superseded"] == superseded


def test_a_retraction_calls_off_too_and_a_settled_case_calls_nothing_off(table: Table) -> None:
    table.review()
    taken = verdict(kind="retract", revision=2)
    [cancelled] = of_type(
        table.review(verdict=taken, status="retracted", decision=None, split=None), Cancellation
    )
    assert (cancelled.case_number, cancelled.reason) == (2, "retracted")
    assert not of_type(table.review(verdict=verdict(verdict_id="v2")), Cancellation)
    assert not of_type(table.review(verdict=verdict(verdict_id="v2", revision=2)), Cancellation)


def test_a_verdict_that_counts_again_waits_for_its_own_runs(table: Table) -> None:
    table.review()
    [first, *_] = table.requests.values()
    late = trace(first, None, status="exhausted", attempts=0, case_number=1)
    ran = trace(first, action(), case_number=1)
    table.review(status="conflict", verdict=verdict(kind="decline", verdict_id="v2"))
    outputs = table.review()
    assert first.replay_id in {one.replay_id for one in of_type(outputs, ReplayRequest)}
    assert {one.case_number for one in of_type(outputs, ReplayRequest)} == {3}
    [said] = of_type(table.feed(event("opoi.traces", late)), Disposition)
    assert (said.outcome, said.reason) == ("superseded", "earlier_case")
    [said] = of_type(table.feed(event("opoi.traces", ran)), Disposition)
    assert said.outcome == "pending", "a run is a run, whichever case asked for it"


def test_a_run_that_was_given_up_is_not_waited_for(table: Table) -> None:
    table.review()
    table.answer("unhinted", 0, 0, None, attempts=0, reason="dead_letter: not_framed: no Avro")
    table.answer("unhinted", 0, 1, None, attempts=0, status="failed", reason="too_large: 9 bytes")
    [case] = of_type(table.answer("unhinted", 0, 2, UP), Case)
    assert case.stop_reason == "unhinted_hit"
    assert [one.reason for one in case.arms[0].tries] == [
        "dead_letter: not_framed: no Avro",
        "too_large: 9 bytes",
        None,
    ]


def redriven(made: Event, offset: int) -> Event:
    """A review from the dead letters, as the retry topic gives it."""
    headers = (
        ("dlq.topic", made.topic.encode()),
        ("dlq.offset", str(made.coordinates.offset).encode()),
    )
    return replace(made, coordinates=Coordinates("opoi.retry.trigger", 0, offset), headers=headers)


def said_of(outputs: tuple[Output, ...]) -> tuple[str, str]:
    one = of_type(outputs, Disposition)[-1]
    return one.outcome, one.reason


def test_a_redriven_review_does_not_bring_a_retracted_verdict_back(table: Table) -> None:
    buried = event("opoi.reviews", review(verdict=verdict()))
    taken = verdict(kind="retract", revision=2)
    outputs = table.review(verdict=taken, status="retracted", decision=None, split=None)
    assert said_of(outputs) == ("withdrawn", "retracted")
    assert said_of(table.feed(table.fed[-1])) == ("withdrawn", "retracted")
    outputs = table.feed(redriven(buried, 0))
    assert said_of(outputs) == ("superseded", "older_review")
    assert not of_type(table.outputs, Case)


def test_a_redriven_review_does_not_take_a_later_ones_case(table: Table) -> None:
    buried = event("opoi.reviews", review(verdict=verdict()))
    table.review(verdict=verdict(kind="decline", verdict_id="v2"))
    assert said_of(table.feed(redriven(buried, 0))) == ("superseded", "older_review")


def test_a_redriven_review_without_its_place_is_poison(table: Table) -> None:
    table.review()
    lost = redriven(event("opoi.reviews", review(verdict=verdict(verdict_id="v2"))), 0)
    for value in (b"x", b"", None):
        with pytest.raises(Poison, match=r"dlq\.offset"):
            table.feed(replace(lost, headers=(*lost.headers, ("dlq.offset", value))))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_latest_review_has_the_case_however_late_the_others_are_redriven(
    ports: Dependencies, data: st.DataObject
) -> None:
    table, order, later = Table(ports), list[Event](), list[tuple[int, Event]]()
    count = data.draw(st.integers(1, 5))
    for number in range(1, count + 1):
        kind = data.draw(st.sampled_from(["approve", "decline", "correct", "retract", "conflict"]))
        given_one = verdict(
            kind="decline" if kind == "conflict" else kind,
            verdict_id=data.draw(st.sampled_from(["v1", "v2"])),
            revision=number,
        )
        status = {"retract": "retracted", "conflict": "conflict"}.get(kind, "joined")
        made = event("opoi.reviews", review(verdict=given_one, status=status, reviewed_at=at(number)), number)
        if data.draw(st.booleans()):
            later.append((data.draw(st.integers(number, count)), made))
        else:
            order.append(made)
        ready = [one for when, one in later if when == number]
        order += [redriven(one, number * 10 + i) for i, one in enumerate(data.draw(st.permutations(ready)))]
    for made in order:
        table.feed(made)
    assert table.state is not None
    assert (table.state.verdict_id, table.state.revision) == (given_one.verdict_id, given_one.revision)
