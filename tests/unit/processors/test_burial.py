"""A dead letter keeps what came and says why."""

from datetime import UTC, datetime

import pytest

from streams.processors.dead_letters import ERROR_BYTES, headers_of
from streams.processors.intake import Arrival, contract_topic, from_milliseconds, to_milliseconds
from streams.steps.contract import Coordinates, Poison

NOW = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)
POISON = Poison("not_framed", "the value starts with 7b, not with 00")


def arrived(topic: str = "agent.decisions", **headers: bytes) -> Arrival:
    named = {name.replace("_", ".", 1): value for name, value in headers.items()}
    return Arrival(Coordinates(topic, 3, 42), from_milliseconds(1_700_000_000_123), b"k", b"{", named)


def test_the_headers_say_where_it_stood_and_why_it_was_refused() -> None:
    found = dict(headers_of(arrived(traceparent=b"00-1-2-01"), "join", POISON, NOW))
    assert found.pop("dlq.app_version")
    assert found == {
        "dlq.topic": b"agent.decisions",
        "dlq.partition": b"3",
        "dlq.offset": b"42",
        "dlq.timestamp": b"1700000000123",
        "dlq.stage": b"join",
        "dlq.error_type": b"not_framed",
        "dlq.error": b"the value starts with 7b, not with 00",
        "dlq.first_failed_at": b"2026-11-22T10:00:00.123+00:00",
        "dlq.replays": b"0",
        "traceparent": b"00-1-2-01",
    }


def test_the_error_is_cut() -> None:
    found = dict(headers_of(arrived(), "join", Poison("contract", "ü" * 1000), NOW))
    assert len(found["dlq.error"]) == ERROR_BYTES


def test_one_that_was_sent_again_keeps_where_it_stood_at_first() -> None:
    again = arrived(
        "opoi.retry.join",
        dlq_topic=b"expert.verdicts",
        dlq_partition=b"7",
        dlq_offset=b"9",
        dlq_replays=b"2",
        dlq_first_failed_at=b"2026-01-01T00:00:00.000+00:00",
        dlq_error=b"old",
    )
    found = dict(headers_of(again, "join", POISON, NOW))
    assert (found["dlq.topic"], found["dlq.partition"], found["dlq.offset"]) == (
        b"expert.verdicts",
        b"7",
        b"9",
    )
    assert found["dlq.replays"] == b"2"
    assert found["dlq.first_failed_at"] == b"2026-01-01T00:00:00.000+00:00"
    assert found["dlq.error"] == b"the value starts with 7b, not with 00"


def test_a_record_of_a_source_keeps_the_contract_of_its_topic() -> None:
    assert contract_topic(arrived(), ("agent.decisions",)) == "agent.decisions"


def test_a_record_of_the_retry_topic_names_its_contract() -> None:
    again = arrived("opoi.retry.join", dlq_topic=b"expert.verdicts")
    assert contract_topic(again, ("agent.decisions", "expert.verdicts")) == "expert.verdicts"


@pytest.mark.parametrize("headers", [{}, {"dlq_topic": b"opoi.traces"}])
def test_a_record_of_the_retry_topic_that_names_none_of_ours_is_poison(headers: dict[str, bytes]) -> None:
    with pytest.raises(Poison, match=r"this stage reads agent\.decisions"):
        contract_topic(arrived("opoi.retry.join", **headers), ("agent.decisions",))


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1_700_000_000_123, 4_102_444_800_000])
def test_timestamps_are_exact(milliseconds: int) -> None:
    assert to_milliseconds(from_milliseconds(milliseconds)) == milliseconds
