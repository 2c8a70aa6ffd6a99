"""Whatever a record holds, its letter fits, says where it came from, and says what it lacks."""

import hashlib
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.catalog import topics
from sinks.dead_letters import ERROR_BYTES, Dropped, Whole, dead_letter, parse_dead_letter
from sinks.tables import DEAD_LETTERS
from streams.core.contract import Coordinates, Headers
from streams.core.record_size import record_bytes
from streams.runtime.dead_letters import DeadLetters, Letter

LIMIT = 16 * 1024
AT = Coordinates("agent.decisions", 3, 41)
WHEN = datetime(2026, 11, 29, 12, tzinfo=UTC)
TOPICS = {DEAD_LETTERS: topics()[DEAD_LETTERS].model_copy(update={"max_message_bytes": LIMIT})}

# around what fits, a quarter of it, and far above
SIZES = st.one_of(
    st.integers(0, 64), st.integers(3_000, 5_000), st.integers(12_000, 17_000), st.just(100_000)
)
CONTENT = st.one_of(
    st.none(), st.builds(lambda seed, size: (seed * size)[:size], st.binary(min_size=1), SIZES)
)
NAMES = st.one_of(
    st.text(max_size=4), st.sampled_from(["traceparent", "dlq.topic", "orig.x"]), st.just("n" * 9_000)
)
HEADERS = st.one_of(
    st.none(),
    st.lists(st.tuples(NAMES, CONTENT), max_size=6).map(tuple),
    st.builds(lambda name, count: ((name, b""),) * count, st.text(max_size=2), st.integers(0, 3_000)),
)
KINDS = st.sampled_from(["contract", "killed_the_process", "too_large"])


def letter_of(
    key: bytes | None, value: bytes | None, headers: Headers | None, kind: str, reason: str
) -> Letter:
    return DeadLetters("join", TOPICS).letter(AT, WHEN, key, value, headers, kind=kind, reason=reason)


@given(CONTENT, CONTENT, HEADERS, KINDS, st.text(max_size=600))
@example(b"k" * 100_000, None, (), "contract", "")
@example(None, b"v" * 100_000, None, "contract", "\ud800" * 600)
@example(b"k", b"v", (("h", b""),) * 3_000, "contract", "r")
@example(b"k" * 9_000, b"v" * 9_000, (("h", b"x" * 9_000), ("traceparent", b"00")), "contract", "r" * 600)
def test_a_letter_fits_is_read_back_and_says_what_it_lacks(
    key: bytes | None, value: bytes | None, headers: Headers | None, kind: str, reason: str
) -> None:
    made = letter_of(key, value, headers, kind, reason)

    assert record_bytes(made.key, made.value, made.headers) <= LIMIT
    read = parse_dead_letter(made.headers)
    assert (read.topic, read.partition, read.offset, read.timestamp) == (
        AT.topic,
        AT.partition,
        AT.offset,
        WHEN,
    )
    assert (read.stage, read.error_type, read.error) == ("join", made.kind, made.error)
    assert read.headers_unreadable == (headers is None)
    assert tuple(read.headers()) == made.headers

    whole = dead_letter(
        topic=AT.topic,
        partition=AT.partition,
        offset=AT.offset,
        timestamp=WHEN,
        stage="join",
        error_type=kind,
        error=reason,
        failed_at=read.first_failed_at,
        headers=headers,
    )
    fits = record_bytes(key, value, whole.headers()) <= LIMIT
    assert read.is_cut != fits
    if fits:
        assert (made.key, made.value, made.headers) == (key, value, tuple(whole.headers()))
        return
    assert made.kind == "too_large"
    assert made.error.startswith(("" if kind == "too_large" else f"{kind}: ") + whole.error[:400])
    assert len(made.error.encode()) <= ERROR_BYTES
    for part, kept, said in ((key, made.key, read.whole_key), (value, made.value, read.whole_value)):
        assert (part is None) == (kept is None)
        assert (said is None) == (part == kept)
        if part is not None and kept is not None and said is not None:
            assert part.startswith(kept)
            assert said == Whole(len(part), hashlib.sha256(part).hexdigest())
    left_out = list(headers or ())
    for one in read.original_headers:
        left_out.remove(one)
    assert read.dropped_headers == (
        Dropped.of(without(headers or (), read.original_headers)) if left_out else None
    )
    assert read.dropped_headers is None or read.dropped_headers.count == len(left_out)
    if record_bytes(None, None, ((f"orig.{name}", content) for name, content in headers or ())) < LIMIT // 8:
        assert not left_out, "headers that have room are kept"


def without(headers: Headers, kept: Headers) -> Headers:
    """What is left of `headers` where `kept` are taken out in order."""
    rest, waiting = [], list(kept)
    for one in headers:
        if waiting and waiting[0] == one:
            waiting.pop(0)
        else:
            rest.append(one)
    return tuple(rest)


@given(CONTENT, CONTENT, HEADERS, st.text(max_size=600))
def test_a_letter_that_is_sent_again_and_fails_again_fits_and_says_the_same(
    key: bytes | None, value: bytes | None, headers: Headers | None, reason: str
) -> None:
    first = letter_of(key, value, headers, "contract", reason)
    again = DeadLetters("join", TOPICS).letter(
        Coordinates("opoi.retry.join", 0, 9),
        WHEN,
        first.key,
        first.value,
        first.headers,
        kind="killed_the_process",
        reason=reason * 2,
    )

    assert record_bytes(again.key, again.value, again.headers) <= LIMIT
    before, after = parse_dead_letter(first.headers), parse_dead_letter(again.headers)
    assert (after.topic, after.partition, after.offset) == (AT.topic, AT.partition, AT.offset)
    assert after.headers_unreadable == before.headers_unreadable
    if before.whole_key is not None:
        assert after.whole_key == before.whole_key
    if before.whole_value is not None:
        assert after.whole_value == before.whole_value
    if before.dropped_headers is not None:
        assert after.dropped_headers is not None
        assert after.dropped_headers.count + len(after.original_headers) == len(headers or ())
