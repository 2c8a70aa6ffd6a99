"""From a record to a replay, and back."""

import pytest

from schemas.records import AgentTrace, Disposition, Spending
from streams.core.contract import Poison
from streams.core.message import Message
from streams.runtime.model_runs.in_flight import ReplayJob
from streams.runtime.outputs import BrokenStep
from streams.stages.replay.requests import REQUESTS, RETRY, read_request, request_if_readable
from streams.stages.replay.results import past_deadline_outputs, trace_outputs, without_turns
from testkit import builders
from tests.unit.stages.replay.replay_samples import NOW, arrived, request


def test_a_request_is_read_with_its_decision() -> None:
    asked = read_request(builders.codec, arrived(request()))
    assert asked == ReplayJob(request(), builders.decision())


def test_a_record_of_the_retry_topic_keeps_the_contract_that_its_header_names() -> None:
    asked = read_request(builders.codec, arrived(request(), RETRY, dlq_topic=REQUESTS.encode()))
    assert asked.request == request()


NO_IDS = ("", "..", "../x", "a/b", "\x00", "r" * 101)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (arrived(request(), key=b"other/d1"), "wrong_key"),
        (arrived(request(), RETRY), "unknown_topic"),
        (arrived(request(), RETRY, dlq_topic=b"opoi.reviews"), "unknown_topic"),
        (arrived(request(decision=b"\x00\x01")), "not_framed"),
        (arrived(request(decision_id="d2"), key=b"media_buyer/d2"), "contract"),
        *((arrived(request(replay_id=one)), "contract") for one in NO_IDS),
    ],
)
def test_what_breaks_the_contract_is_poison(given: Message, kind: str) -> None:
    with pytest.raises(Poison) as found:
        read_request(builders.codec, given)
    assert found.value.kind == kind


def test_a_trace_names_the_record_that_asked_for_it() -> None:
    asked = ReplayJob(request(), builders.decision())
    ran = builders.trace(asked.request, None)
    trace, spent, answer = trace_outputs(arrived(asked.request), asked, ran)
    assert trace.key == "media_buyer/d1"
    (cause,) = trace.record.caused_by  # type: ignore[attr-defined]
    assert (cause.topic, cause.partition, cause.offset, cause.id) == (REQUESTS, 2, 7, "r1")
    assert isinstance(answer.record, Disposition)
    assert (answer.record.outcome, answer.record.reason, answer.record.id) == ("emitted", "failed", "r1")
    assert isinstance(spent.record, Spending)
    assert (spent.record.replay_id, spent.record.spent.attempts) == ("r1", ran.attempts)


def test_what_was_not_run_was_not_paid_for() -> None:
    asked = ReplayJob(request(), builders.decision())
    not_run = builders.trace(asked.request, None, attempts=0)
    assert [output.topic for output in trace_outputs(arrived(asked.request), asked, not_run)] == [
        "opoi.traces",
        "opoi.dispositions",
    ]


def test_a_request_that_is_given_up_leaves_a_trace_that_says_why() -> None:
    asked = ReplayJob(request(case_number=3), builders.decision())
    trace, answer = past_deadline_outputs(arrived(asked.request), asked)
    assert isinstance(trace.record, AgentTrace)
    assert (trace.topic, trace.key) == ("opoi.traces", "media_buyer/d1")
    assert (trace.record.status, trace.record.attempts, trace.record.case_number) == ("exhausted", 0, 3)
    assert trace.record.reason == f"deadline: {asked.request.deadline_at.isoformat()} has passed"
    assert isinstance(answer.record, Disposition)
    assert (answer.record.outcome, answer.record.reason) == ("superseded", "past_deadline")
    assert past_deadline_outputs(arrived(asked.request), asked) == (trace, answer), (
        "the same bytes every time"
    )


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (arrived(request(), key=b"other/d1"), True),
        (arrived(request(decision=b"\x00\x01")), True),
        (arrived(request(), RETRY), False),
        (Message(arrived(request()).coordinates, NOW, b"k", b"no avro", ()), False),
        (Message(arrived(request()).coordinates, NOW, b"k", None, ()), False),
    ],
)
def test_the_replay_of_a_dead_letter_is_named_where_it_can_be_read(given: Message, known: bool) -> None:
    found = request_if_readable(builders.codec, given)
    assert (found.replay_id if found else None) == ("r1" if known else None)


def test_a_trace_without_its_turns_still_says_what_became_of_the_run() -> None:
    ran = builders.trace(request(), builders.action())
    rest = without_turns(ran, "9 bytes, allowed are 4")
    assert isinstance(rest, AgentTrace)
    assert (rest.status, rest.reason) == ("failed", "too_large: 9 bytes, allowed are 4")
    assert (rest.turns, rest.action, rest.usage) == ((), None, ran.usage)
    assert without_turns(rest.target, "") is None


def test_a_trace_of_another_run_is_our_own_fault() -> None:
    asked = ReplayJob(request(), builders.decision())
    other = builders.trace(request(replay_id="r2"), None)
    with pytest.raises(BrokenStep, match="r2"):
        trace_outputs(arrived(asked.request), asked, other)
