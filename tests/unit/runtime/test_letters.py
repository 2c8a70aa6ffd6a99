"""The one way of a record into the dead letters."""

import struct
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from schemas.catalog import client_message_bytes, topics
from schemas.records import Disposition
from schemas.settings import KafkaSettings
from sinks.dead_letters import parse_dead_letter
from sinks.tables import DEAD_LETTERS
from streams.core.contract import Coordinates, Headers, Poison
from streams.core.record_size import OVERHEAD, record_bytes
from streams.faust_runner.safety.app_settings import app_options
from streams.runtime.dead_letters import MOST_HEADERS, DeadLetters, Letter
from streams.runtime.kafka_clients import producer_config

AT = Coordinates("agent.decisions", 3, 41)
WHEN = datetime(2026, 11, 29, 12, tzinfo=UTC)
MIB = 1024 * 1024
LIMIT = topics()[DEAD_LETTERS].max_message_bytes


@pytest.fixture
def letters() -> DeadLetters:
    return DeadLetters("join", topics())


def made(
    letters: DeadLetters, key: bytes | None = b"k", value: bytes | None = b"v", headers: Headers | None = ()
) -> Letter:
    return letters.letter(AT, WHEN, key, value, headers, kind="contract", reason="revision is 0")


def test_what_fits_is_kept_as_it_came(letters: DeadLetters) -> None:
    own = (("traceparent", b"00-0"), ("null", None), ("traceparent", b"00-1"))
    letter = made(letters, None, b"v" * 4 * MIB, own)
    assert (letter.at, letter.kind, letter.error) == (AT, "contract", "revision is 0")
    assert (letter.key, letter.value) == (None, b"v" * 4 * MIB)
    assert letter.headers[-3:] == tuple((f"orig.{name}", value) for name, value in own)
    ours = {name.removeprefix("dlq.") for name, _ in letter.headers[:-3]}
    assert ours == {
        *("topic", "partition", "offset", "timestamp", "stage", "app_version"),
        *("error_type", "error", "first_failed_at", "replays"),
    }


def test_a_value_that_does_not_fit_is_cut_to_what_does(letters: DeadLetters) -> None:
    value = b"x" * 7 * MIB
    letter = made(letters, b"k", value, (("traceparent", b"00"),))
    read = parse_dead_letter(letter.headers)
    assert letter.value is not None
    assert value.startswith(letter.value)
    assert LIMIT - 512 < record_bytes(letter.key, letter.value, letter.headers) <= LIMIT
    assert (letter.kind, letter.error) == ("too_large", "contract: revision is 0")
    assert read.whole_value is not None
    assert (read.whole_value.size, read.whole_value.sha256) == (7 * MIB, sha256(value).hexdigest())
    assert (read.whole_key, read.dropped_headers) == (None, None)
    assert read.original_headers == (("traceparent", b"00"),)


def test_a_key_that_does_not_fit_is_cut_and_leaves_the_value_whole(letters: DeadLetters) -> None:
    key = b"k" * 8 * MIB
    letter = made(letters, key)
    read = parse_dead_letter(letter.headers)
    assert letter.key is not None
    assert LIMIT // 4 - 2 * OVERHEAD < len(letter.key) < LIMIT // 4
    assert letter.value == b"v"
    assert read.whole_key is not None
    assert (read.whole_key.size, read.whole_key.sha256) == (8 * MIB, sha256(key).hexdigest())
    assert read.whole_value is None


def test_headers_that_do_not_fit_are_left_out_and_counted(letters: DeadLetters) -> None:
    large = ("junk", b"j" * 6 * MIB)
    letter = made(letters, headers=(large, ("null", None), large, ("tenant", b"t1")))
    read = parse_dead_letter(letter.headers)
    assert read.original_headers == (("null", None), ("tenant", b"t1"))
    said = 2 * (struct.pack(">ii", 4, 6 * MIB) + b"junk" + large[1])
    assert read.dropped_headers is not None
    assert read.dropped_headers.count == 2
    assert read.dropped_headers.size == 2 * (4 + 6 * MIB)
    assert read.dropped_headers.sha256 == sha256(said).hexdigest()
    assert (letter.key, letter.value) == (b"k", b"v")


def test_a_million_headers_are_a_letter(letters: DeadLetters) -> None:
    letter = made(letters, headers=(("h", b""),) * 1_000_000)
    read = parse_dead_letter(letter.headers)
    assert record_bytes(letter.key, letter.value, letter.headers) <= LIMIT
    assert read.dropped_headers is not None
    assert read.dropped_headers.count + len(read.original_headers) == 1_000_000
    assert len(read.original_headers) == MOST_HEADERS


def test_headers_that_nothing_could_read_are_said_to_be_that(letters: DeadLetters) -> None:
    letter = made(letters, headers=None)
    read = parse_dead_letter(letter.headers)
    assert (read.headers_unreadable, read.original_headers, read.is_cut) == (True, (), False)
    assert not parse_dead_letter(made(letters).headers).headers_unreadable


def test_a_record_that_came_again_with_megabytes_as_its_first_topic_is_a_letter(letters: DeadLetters) -> None:
    forged = tuple(
        (name, b"t" * 4 * MIB if name == "dlq.topic" else value) for name, value in made(letters).headers
    )
    again = letters.letter(
        Coordinates("opoi.retry.join", 1, 2), WHEN, b"k", b"v" * MIB, forged, kind="unknown_topic", reason="r"
    )
    read = parse_dead_letter(again.headers)
    assert record_bytes(again.key, again.value, again.headers) <= LIMIT
    assert (read.topic, read.partition, read.offset) == ("opoi.retry.join", 1, 2)


def test_a_dead_record_is_accounted_for_without_an_id(letters: DeadLetters) -> None:
    output = letters.disposition(made(letters), WHEN)
    record = output.record
    assert isinstance(record, Disposition)
    assert (record.outcome, record.reason, record.id, record.offset) == ("dead", "contract", None, 41)
    assert output.key == "join/agent.decisions/3/41"
    cut = letters.disposition(made(letters, value=b"v" * 6 * MIB), WHEN, "r1").record
    assert isinstance(cut, Disposition)
    assert (cut.reason, cut.id) == ("too_large", "r1")


def test_a_letter_that_was_sent_is_counted_and_said_once(letters: DeadLetters) -> None:
    def counted() -> float:
        labels = {"stage": "join", "kind": "too_large"}
        return REGISTRY.get_sample_value("opoi_dead_letters_total", labels) or 0.0

    letter = made(letters, value=b"v" * 6 * MIB)
    before = counted()
    with capture_logs() as logs:
        letters.sent(letter)
    assert counted() == before + 1
    assert logs == [
        {
            "event": "record sent to dead letters",
            "log_level": "warning",
            "stage": "join",
            "kind": "too_large",
            "error": "contract: revision is 0",
            "topic": "agent.decisions",
            "partition": 3,
            "offset": 41,
        }
    ]


def test_a_reason_that_quotes_megabytes_is_short(letters: DeadLetters) -> None:
    poison = Poison("wrong_key", f"the message key is {b'k' * 8 * MIB!r}")
    assert len(poison.reason) == len(str(poison)) == 512
    letter = letters.letter(AT, WHEN, b"k", b"v", (), kind="wrong_key", reason="é\ud800" * MIB)
    assert len(letter.error.encode()) <= 512


def test_clients_let_through_whatever_a_topic_takes() -> None:
    largest = max(spec.max_message_bytes for spec in topics().values())
    assert client_message_bytes() >= largest + OVERHEAD
    assert producer_config(KafkaSettings())["message.max.bytes"] == client_message_bytes()
    assert app_options(None, None)["producer_max_request_size"] == client_message_bytes()  # type: ignore[arg-type]


def test_a_letter_has_no_more_headers_than_clients_hand_out(letters: DeadLetters) -> None:
    """Of more than 100,000 headers librdkafka hands out none: the letter could not be read."""
    letter = made(letters, headers=tuple(("h", b"") for _ in range(130_000)))
    assert len(letter.headers) < 2 * MOST_HEADERS
    read = parse_dead_letter(letter.headers)
    assert len(read.original_headers) == MOST_HEADERS
    assert read.dropped_headers is not None
    assert read.dropped_headers.count == 130_000 - MOST_HEADERS
    assert (letter.key, letter.value) == (b"k", b"v")
