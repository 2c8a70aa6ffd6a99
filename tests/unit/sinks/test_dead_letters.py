"""Dead-letter headers: what goes in comes out, and a second failure keeps the first one's story."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sinks.dead_letters import ERROR_BYTES, NotADeadLetter, dead_letter, parse_dead_letter

WRITTEN = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
FAILED = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
FIRST: dict[str, Any] = {
    "topic": "agent.decisions",
    "partition": 3,
    "offset": 41,
    "timestamp": WRITTEN,
    "stage": "join",
    "error_type": "truncated",
    "error": "the body ends",
    "failed_at": FAILED,
    "headers": [("traceparent", b"00-0"), ("traceparent", b"00-1"), ("empty", b""), ("null", None)],
}


def test_the_headers_are_read_back() -> None:
    letter = parse_dead_letter(dead_letter(**FIRST).headers())
    assert (letter.topic, letter.partition, letter.offset) == ("agent.decisions", 3, 41)
    assert (letter.timestamp, letter.first_failed_at) == (WRITTEN, FAILED)
    assert (letter.stage, letter.error_type, letter.error) == ("join", "truncated", "the body ends")
    assert letter.replays == 0
    assert letter.original_headers == tuple(FIRST["headers"])


def test_a_second_failure_keeps_the_first_coordinates() -> None:
    sent_again = replace(parse_dead_letter(dead_letter(**FIRST).headers()), replays=1).headers()
    again = parse_dead_letter(
        dead_letter(
            topic="opoi.retry.join",
            partition=3,
            offset=0,
            timestamp=datetime(2026, 3, 2, tzinfo=UTC),
            stage="join",
            error_type="contract",
            error="still wrong",
            failed_at=datetime(2026, 3, 2, tzinfo=UTC),
            headers=sent_again,
        ).headers()
    )
    assert (again.topic, again.partition, again.offset) == ("agent.decisions", 3, 41)
    assert (again.first_failed_at, again.replays) == (FAILED, 1)
    assert (again.error_type, again.error) == ("contract", "still wrong")
    assert again.original_headers == tuple(FIRST["headers"])


def test_dead_letter_headers_on_an_ordinary_topic_are_somebody_elses() -> None:
    forged = dead_letter(**{**FIRST, "offset": 7}).headers()
    letter = parse_dead_letter(dead_letter(**{**FIRST, "headers": forged}).headers())
    assert letter.offset == 41
    assert ("dlq.offset", b"7") in letter.original_headers


def test_of_a_repeated_name_of_ours_the_last_one_counts() -> None:
    headers = [*dead_letter(**FIRST).headers(), ("dlq.offset", b"42")]
    assert parse_dead_letter(headers).offset == 42
    with pytest.raises(NotADeadLetter, match=r"header dlq\.offset is missing"):
        parse_dead_letter([*headers, ("dlq.offset", None)])


def test_a_long_error_is_cut_between_characters() -> None:
    headers = dict(dead_letter(**{**FIRST, "error": "é" * ERROR_BYTES + "x"}).headers())
    assert headers["dlq.error"].decode() == "é" * (ERROR_BYTES // 2)


@pytest.mark.parametrize(
    "time", [b"1772366400123", b"2026-03-01T12:00:00.123", b"2026-03-01T13:00:00.123+01:00"]
)
def test_a_time_is_read_in_kafkas_form_too(time: bytes) -> None:
    headers = {**dict(dead_letter(**FIRST).headers()), "dlq.timestamp": time}
    assert parse_dead_letter(headers.items()).timestamp == WRITTEN


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dlq.stage": None}, "header dlq.stage is missing"),
        ({"dlq.offset": b"x"}, "header dlq.offset is 'x', not a number"),
        ({"dlq.partition": b"3000000000"}, r"header dlq.partition is 3000000000, not between 0 and 2\^31"),
        ({"dlq.offset": b"-1"}, r"header dlq.offset is -1, not between 0 and 2\^63"),
        ({"dlq.timestamp": b"x"}, "header dlq.timestamp is 'x', not an ISO 8601 time"),
    ],
)
def test_what_is_no_dead_letter_is_said(change: dict[str, bytes | None], says: str) -> None:
    with pytest.raises(NotADeadLetter, match=says):
        parse_dead_letter({**dict(dead_letter(**FIRST).headers()), **change}.items())
