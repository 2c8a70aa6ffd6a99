"""What a message is to a stage: its time, and the topic whose contract it keeps."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from streams.core.contract import Coordinates, Poison, header
from streams.core.message import Message, contract_topic, from_milliseconds, message_of, trace_headers


def arrived(topic: str = "agent.decisions", **headers: bytes) -> Message:
    named = tuple((name.replace("_", ".", 1), value) for name, value in headers.items())
    return Message(Coordinates(topic, 3, 42), from_milliseconds(1_700_000_000_123), b"k", b"{", named)


def test_a_record_of_a_source_keeps_the_contract_of_its_topic() -> None:
    assert contract_topic(arrived(), ("agent.decisions",)) == "agent.decisions"


def test_a_record_of_the_retry_topic_names_its_contract() -> None:
    again = arrived("opoi.retry.join", dlq_topic=b"expert.verdicts")
    assert contract_topic(again, ("agent.decisions", "expert.verdicts")) == "expert.verdicts"


@pytest.mark.parametrize("headers", [{}, {"dlq_topic": b"opoi.traces"}])
def test_a_record_of_the_retry_topic_that_names_none_of_ours_is_poison(headers: dict[str, bytes]) -> None:
    with pytest.raises(Poison, match=r"this stage reads agent\.decisions"):
        contract_topic(arrived("opoi.retry.join", **headers), ("agent.decisions",))


def test_headers_are_kept_as_they_came() -> None:
    pairs = [("a", b"1"), ("null", None), ("a", b"2"), ("empty", b"")]
    message = SimpleNamespace(partition=3, offset=42, timestamp=0.0, key=b"k", value=b"{", headers=pairs)
    assert message_of(message, "agent.decisions").headers == tuple(pairs)
    message.headers = None
    assert message_of(message, "agent.decisions").headers == ()


def test_of_a_repeated_header_the_last_one_counts() -> None:
    pairs = (("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", None))
    assert [header(pairs, name) for name in ("a", "b", "c")] == [b"2", None, None]


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1_700_000_000_123, 4_102_444_800_000])
def test_timestamps_are_exact(milliseconds: int) -> None:
    since = from_milliseconds(milliseconds) - from_milliseconds(0)
    assert since // timedelta(milliseconds=1) == milliseconds


TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_traceparent_of_its_own_form_is_taken_over() -> None:
    headers = (("traceparent", b"not this one"), ("other", b"1"), ("traceparent", TRACEPARENT))
    assert trace_headers(headers) == (("traceparent", TRACEPARENT),)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"x" * 4 * 1024 * 1024,
        TRACEPARENT + b"\n",
        TRACEPARENT + b"-01",
        TRACEPARENT.upper(),
        b"01" + TRACEPARENT[2:],
        b"00-" + b"0" * 32 + TRACEPARENT[35:],
        TRACEPARENT[:36] + b"0" * 16 + TRACEPARENT[52:],
        b"00-4bf92f3577b34da6-01",
    ],
)
def test_anything_else_as_a_traceparent_is_not(value: bytes | None) -> None:
    assert trace_headers((("traceparent", value),)) == ()
