"""From a record to a replay, and back."""

import pytest

from schemas.records import Disposition
from streams.processors.intake import Arrival
from streams.processors.outputs import BrokenStep
from streams.steps.contract import Poison
from streams.workers.requests import REQUESTS, RETRY, Asked, dead, read_request, traced
from tests import builders
from tests.unit.workers.replay_samples import arrived, request


def test_a_request_is_read_with_its_decision() -> None:
    asked = read_request(builders.codec, arrived(request()))
    assert asked == Asked(request(), builders.decision())


def test_a_record_of_the_retry_topic_keeps_the_contract_that_its_header_names() -> None:
    asked = read_request(builders.codec, arrived(request(), RETRY, dlq_topic=REQUESTS.encode()))
    assert asked.request == request()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (arrived(request(), key=b"other/d1"), "wrong_key"),
        (arrived(request(), RETRY), "unknown_topic"),
        (arrived(request(), RETRY, dlq_topic=b"opoi.reviews"), "unknown_topic"),
        (arrived(request(decision=b"\x00\x01")), "not_framed"),
        (arrived(request(decision_id="d2"), key=b"media_buyer/d2"), "contract"),
    ],
)
def test_what_breaks_the_contract_is_poison(given: Arrival, kind: str) -> None:
    with pytest.raises(Poison) as found:
        read_request(builders.codec, given)
    assert found.value.kind == kind


def test_a_trace_names_the_record_that_asked_for_it() -> None:
    asked = Asked(request(), builders.decision())
    trace, answer = traced(arrived(asked.request), asked, builders.trace(asked.request, None))
    assert trace.key == "media_buyer/d1"
    (cause,) = trace.record.caused_by  # type: ignore[attr-defined]
    assert (cause.topic, cause.partition, cause.offset, cause.id) == (REQUESTS, 2, 7, "r1")
    assert isinstance(answer.record, Disposition)
    assert (answer.record.outcome, answer.record.reason, answer.record.id) == ("emitted", "failed", "r1")


def test_a_trace_of_another_run_is_our_own_fault() -> None:
    asked = Asked(request(), builders.decision())
    other = builders.trace(request(replay_id="r2"), None)
    with pytest.raises(BrokenStep, match="r2"):
        traced(arrived(asked.request), asked, other)


def test_a_dead_record_is_accounted_for_without_an_id() -> None:
    record = dead(arrived(request()), "contract").record
    assert isinstance(record, Disposition)
    assert (record.outcome, record.reason, record.id, record.offset) == ("dead", "contract", None, 7)
