"""The join: whichever comes first, revisions, duplicates, conflicts, expiry, horizon."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Action, Disposition, ExpertVerdict, JoinState, Rejection, Review
from streams.core.contract import Event, Output, Poison, Transition
from streams.stages.join.step import Join, JoinRules
from testkit.builders import action, at, decision, event, of_type, verdict

RULES = JoinRules(
    verdict_wait=timedelta(days=14), decision_wait=timedelta(hours=24), horizon=timedelta(days=30)
)


class Table:
    """One key's state, fed through the step as a shell would."""

    def __init__(self) -> None:
        self.step = Join(RULES)
        self.state: JoinState | None = None
        self.outputs: list[Output] = []

    def feed(self, made: Event) -> tuple[Output, ...]:
        result: Transition[JoinState] = self.step.on_event(self.state, made)
        own = [
            one
            for one in of_type(result.outputs, Disposition)
            if (one.topic, one.partition, one.offset)
            == (made.coordinates.topic, made.coordinates.partition, made.coordinates.offset)
        ]
        assert len(own) == 1, "exactly one disposition of the input itself"
        self.state = result.state
        self.outputs += result.outputs
        return result.outputs

    def decide(self, **changes: object) -> tuple[Output, ...]:
        return self.feed(event("agent.decisions", decision(**changes)))  # type: ignore[arg-type]

    def judge(self, kind: str = "approve", **changes: object) -> tuple[Output, ...]:
        return self.feed(event("expert.verdicts", verdict(kind=kind, **changes)))  # type: ignore[arg-type]

    def tick(self, seconds: float) -> tuple[Output, ...]:
        outputs: tuple[Output, ...] = ()
        while self.state is not None:
            due = self.step.deadline(self.state)
            if due is None or due > at(seconds):
                break
            result = self.step.on_deadline(self.state, "media_buyer/d1", at(seconds))
            self.state = result.state
            outputs += result.outputs
        self.outputs += outputs
        return outputs

    def outcomes(self) -> dict[tuple[str, int], str]:
        """The closing outcome of each input."""
        found: dict[tuple[str, int], str] = {}
        for one in of_type(self.outputs, Disposition):
            place = (one.topic, one.offset)
            if one.outcome != "pending" or place not in found:
                found[place] = one.outcome
        return found


@pytest.fixture
def table() -> Table:
    return Table()


def outcome(outputs: tuple[Output, ...]) -> list[tuple[str, str]]:
    return [(one.outcome, one.reason) for one in of_type(outputs, Disposition)]


def test_decision_first(table: Table) -> None:
    assert outcome(table.decide()) == [("pending", "awaiting_verdict")]
    outputs = table.judge("correct")
    [review] = of_type(outputs, Review)
    assert (review.status, review.verdict_id, review.time_to_verdict_ms) == ("joined", "v1", 600_000)
    assert review.decision is not None
    assert {one.topic for one in review.caused_by} == {"agent.decisions", "expert.verdicts"}
    assert set(table.outcomes().values()) == {"emitted"}


def test_verdict_first(table: Table) -> None:
    assert outcome(table.judge()) == [("pending", "awaiting_decision")]
    [review] = of_type(table.decide(), Review)
    assert review.status == "joined"
    assert set(table.outcomes().values()) == {"emitted"}


def test_both_orders_give_the_same_review_but_for_its_time() -> None:
    first, second = Table(), Table()
    pair = (event("agent.decisions", decision()), event("expert.verdicts", verdict()))
    for made in pair:
        first.feed(made)
    for made in reversed(pair):
        second.feed(made)
    [one], [other] = of_type(first.outputs, Review), of_type(second.outputs, Review)
    assert one.model_copy(update={"reviewed_at": other.reviewed_at}) == other


def test_a_later_revision_supersedes_and_an_older_one_is_recorded(table: Table) -> None:
    table.decide()
    table.judge("approve")
    [review] = of_type(table.judge("decline", revision=3), Review)
    assert (review.revision, review.verdict.kind) == (3, "decline")
    assert outcome(table.judge("approve", revision=2)) == [("superseded", "older_revision")]


def test_a_revision_that_comes_before_the_decision_closes_the_older_one(table: Table) -> None:
    table.judge("approve")
    table.judge("decline", revision=2)
    [review] = of_type(table.decide(), Review)
    assert review.revision == 2
    assert sorted(table.outcomes().values()) == ["emitted", "emitted", "superseded"]


def test_the_same_bytes_again_are_a_duplicate(table: Table) -> None:
    table.decide()
    table.judge()
    assert outcome(table.decide()) == [("duplicate", "same_bytes")]
    assert outcome(table.judge()) == [("duplicate", "same_bytes")]
    assert len(of_type(table.outputs, Review)) == 1


def test_the_same_id_with_other_bytes_is_a_rejection(table: Table) -> None:
    table.decide()
    outputs = table.decide(rationale="Other words.")
    [refused] = of_type(outputs, Rejection)
    assert refused.reason_code == "id_conflict"
    assert len(refused.caused_by) == 2
    assert outcome(outputs) == [("rejected", "id_conflict")]
    [review] = of_type(table.judge(), Review)
    assert review.decision is not None
    outputs = table.judge(rationale="Other words.")
    assert of_type(outputs, Rejection)[0].reason_code == "id_conflict"


def test_two_experts_who_disagree_are_held_until_adjudicated(table: Table) -> None:
    table.decide()
    table.judge("approve")
    [held] = of_type(table.judge("decline", verdict_id="v2", expert="expert-2"), Review)
    assert held.status == "conflict"
    assert held.conflicting_verdict_ids == ("v1", "v2")
    ruling = table.judge("decline", verdict_id="v3", expert="lead", adjudicates=("v1", "v2"))
    [review] = of_type(ruling, Review)
    assert (review.status, review.verdict_id) == ("joined", "v3")


def test_two_experts_who_agree_are_one_review(table: Table) -> None:
    table.decide()
    table.judge("approve")
    assert outcome(table.judge("approve", verdict_id="v2")) == [("duplicate", "agrees")]


def test_retracting_one_side_of_a_conflict_ends_it(table: Table) -> None:
    table.decide()
    table.judge("approve")
    table.judge("decline", verdict_id="v2")
    [review] = of_type(table.judge("retract", verdict_id="v2", revision=2), Review)
    assert (review.status, review.verdict_id) == ("joined", "v1")


def test_retraction(table: Table) -> None:
    table.decide()
    table.judge("approve")
    [review] = of_type(table.judge("retract", revision=2), Review)
    assert (review.status, review.verdict_id, review.revision) == ("retracted", "v1", 2)
    assert review.decision is None


def test_retraction_before_the_decision_leaves_it_waiting(table: Table) -> None:
    table.judge("approve")
    table.judge("retract", revision=2)
    assert table.step.deadline(table.state) is None  # type: ignore[arg-type]
    assert outcome(table.decide()) == [("pending", "awaiting_verdict")]
    assert sorted(table.outcomes().values()) == ["pending", "withdrawn", "withdrawn"]


def test_a_decision_without_a_verdict_expires_and_may_still_be_joined(table: Table) -> None:
    table.feed(event("agent.decisions", decision(), seconds=0))
    assert table.tick(14 * 86400 - 1) == ()
    [expired] = of_type(table.tick(14 * 86400 + 5), Review)
    assert (expired.status, expired.reviewed_at) == ("no_verdict", at(14 * 86400))
    assert list(table.outcomes().values()) == ["expired"]
    late = event("expert.verdicts", verdict(), seconds=20 * 86400)
    [review] = of_type(table.feed(late), Review)
    assert review.status == "joined"


def test_a_verdict_without_its_decision_expires_as_decision_missing(table: Table) -> None:
    table.feed(event("expert.verdicts", verdict(), seconds=0))
    [review] = of_type(table.tick(86400), Review)
    assert (review.status, review.decision, review.verdict_id) == ("decision_missing", None, "v1")
    assert list(table.outcomes().values()) == ["expired"]
    [joined] = of_type(table.feed(event("agent.decisions", decision(), seconds=90000)), Review)
    assert joined.status == "joined"


def test_after_the_horizon_a_correction_is_too_late_but_a_retraction_works(table: Table) -> None:
    table.feed(event("agent.decisions", decision(), seconds=0))
    table.feed(event("expert.verdicts", verdict(), seconds=10))
    table.tick(31 * 86400)
    assert table.state is not None
    assert table.state.decision is None
    outputs = table.judge("correct", revision=2)
    [refused] = of_type(outputs, Rejection)
    assert refused.reason_code == "too_late"
    assert {one.topic for one in refused.caused_by} == {"agent.decisions", "expert.verdicts"}
    [review] = of_type(table.judge("retract", revision=3), Review)
    assert review.status == "retracted"


def test_after_the_horizon_an_agreeing_verdict_is_retracted_alone(table: Table) -> None:
    table.feed(event("agent.decisions", decision(), seconds=0))
    table.feed(event("expert.verdicts", verdict(), seconds=10))
    table.feed(event("expert.verdicts", verdict(verdict_id="v2"), seconds=20))
    table.tick(31 * 86400)
    outputs = table.judge("retract", verdict_id="v2", revision=2)
    assert not of_type(outputs, Review)
    assert outcome(outputs) == [("duplicate", "agrees")]
    [review] = of_type(table.judge("retract", verdict_id="v1", revision=2), Review)
    assert (review.status, review.verdict_id) == ("retracted", "v1")


def test_a_correction_without_an_action_is_poison(table: Table) -> None:
    with pytest.raises(Poison, match="corrected_action"):
        table.judge("correct", corrected_action=None)


MALFORMED = ["", "more budget", "[]", "5", "null", '{"a":NaN}', '{"a":99999999999999999999}', '{"a":' * 9_999]


@pytest.mark.parametrize("arguments", MALFORMED)
def test_arguments_that_are_no_json_object_are_poison(table: Table, arguments: str) -> None:
    broken = Action(name="scale_up", arguments_json=arguments)
    with pytest.raises(Poison, match="arguments_json of action 'scale_up'"):
        table.decide(action=broken)
    table.decide()
    for kind in ("approve", "correct"):
        with pytest.raises(Poison, match="arguments_json of action 'scale_up'"):
            table.judge(kind, corrected_action=broken)
    [review] = of_type(table.judge("correct"), Review)
    assert review.status == "joined"


def test_a_wrong_message_key_is_poison(table: Table) -> None:
    made = event("agent.decisions", decision())
    stranger = Event(made.coordinates, made.topic, made.timestamp, b"other", made.value, made.record)
    with pytest.raises(Poison, match="message key"):
        table.step.key_of(stranger)


def _stories() -> st.SearchStrategy[list[tuple[str, object]]]:
    """Histories of one decision: its record and revisions of up to three verdicts."""
    kinds = st.sampled_from(["approve", "decline", "correct", "retract"])
    verdicts = st.lists(
        st.tuples(st.sampled_from(["v1", "v2", "v3"]), st.integers(1, 3), kinds),
        max_size=6,
        unique_by=lambda one: one[:2],
    )
    return verdicts.map(
        lambda found: [
            ("agent.decisions", decision()),
            *(
                ("expert.verdicts", verdict(kind=kind, verdict_id=verdict_id, revision=revision))
                for verdict_id, revision, kind in found
            ),
        ]
    )


def _final(story: list[tuple[str, object]], repeats: int) -> tuple[object, dict[tuple[str, int], str]]:
    table = Table()
    for offset, (topic, record) in enumerate(story):
        made = event(topic, record, offset=offset)  # type: ignore[arg-type]
        for _ in range(repeats):
            table.feed(made)
    assert table.state is not None
    emitted = (table.state.emitted_status, table.state.emitted_verdict_id, table.state.emitted_revision)
    return emitted, table.outcomes()


@settings(max_examples=200, deadline=None)
@given(_stories().flatmap(st.permutations))
def test_an_input_delivered_twice_changes_nothing(story: list[tuple[str, object]]) -> None:
    assert _final(story, 1) == _final(story, 2)


@settings(max_examples=200, deadline=None)
@given(_stories().flatmap(st.permutations))
def test_redelivery_repeats_the_very_bytes(story: list[tuple[str, object]]) -> None:
    table = Table()
    for offset, (topic, record) in enumerate(story):
        made = event(topic, record, offset=offset)  # type: ignore[arg-type]
        first = of_type(table.feed(made), Review)
        assert of_type(table.feed(made), Review) == first


@settings(max_examples=200, deadline=None)
@given(
    stances=st.lists(st.sampled_from(["approve", "decline", "correct"]), min_size=1, max_size=3),
    rules=st.booleans(),
    retracted=st.integers(1, 4),
)
def test_the_horizon_does_not_change_whether_a_retraction_takes_anything_back(
    stances: list[str], rules: bool, retracted: int
) -> None:
    made = []
    for late in (False, True):
        table = Table()
        table.feed(event("agent.decisions", decision(), seconds=0))
        for number, kind in enumerate(stances, start=1):
            others = tuple(f"v{one}" for one in range(1, number)) if rules else ()
            given_one = verdict(kind=kind, verdict_id=f"v{number}", adjudicates=others)
            table.feed(event("expert.verdicts", given_one, seconds=number))
        table.tick(31 * 86400 if late else 60)
        again = event("expert.verdicts", verdict(kind="retract", verdict_id=f"v{retracted}", revision=2))
        outputs = table.feed(again)
        assert of_type(table.feed(again), Review) == of_type(outputs, Review)
        made.append(bool(of_type(outputs, Review)))
        assert not late or {one.status for one in of_type(outputs, Review)} <= {"retracted"}
    assert made[0] == made[1]


@settings(max_examples=200, deadline=None)
@given(_stories().flatmap(lambda story: st.tuples(st.permutations(story), st.permutations(story))))
def test_what_counts_in_the_end_does_not_depend_on_the_order_of_topics(
    stories: tuple[list[tuple[str, object]], list[tuple[str, object]]],
) -> None:
    """Verdicts keep their order; only the decision moves among them."""
    one, other = stories
    verdicts = [item for item in one if item[0] == "expert.verdicts"]
    place = next(index for index, item in enumerate(other) if item[0] == "agent.decisions")
    moved = [*verdicts[:place], ("agent.decisions", decision()), *verdicts[place:]]
    first, second = _final([*verdicts, ("agent.decisions", decision())], 1)[0], _final(moved, 1)[0]
    if any(isinstance(item[1], ExpertVerdict) and item[1].kind == "retract" for item in verdicts):
        # a retraction that comes first leaves nothing to take back
        assert (first[0] in (None, "retracted")) == (second[0] in (None, "retracted"))  # type: ignore[index]
    else:
        assert first == second


def test_every_input_of_a_story_ends_with_an_outcome(table: Table) -> None:
    table.feed(event("agent.decisions", decision(), seconds=0))
    table.feed(event("expert.verdicts", verdict(kind="correct"), seconds=1))
    table.feed(
        event(
            "expert.verdicts",
            verdict(kind="correct", revision=2, corrected_action=action("pause")),
            seconds=2,
        )
    )
    assert "pending" not in table.outcomes().values()
