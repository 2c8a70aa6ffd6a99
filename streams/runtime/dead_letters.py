"""Dead letters: the letter of a record, its disposition, its metric and its log event.

A letter fits its topic whatever the record holds. One that would not is cut: the value's head, the key's head
and the headers that there is room for, with the length and sha256 of the whole, and `too_large` as its kind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from schemas.catalog import TopicSpec
from schemas.dead_letter_kinds import DeadLetterKind
from schemas.errors import shortened
from schemas.log_events import DEAD_LETTER_SENT
from schemas.records import Disposition
from schemas.stages import DEAD_LETTERS, DISPOSITIONS
from sinks.dead_letters import ORIGINAL, DeadLetter, Dropped, Whole, dead_letter
from streams.core.contract import Coordinates, Headers, Output
from streams.core.message import Message
from streams.core.record_size import headers_bytes, record_bytes
from streams.core.unread import Unread, last_offset
from streams.runtime import metrics

TOO_LARGE: DeadLetterKind = "too_large"
MOST_HEADERS = 10_000
"""Headers of a record that its letter keeps. Of more than 100,000 librdkafka returns none, ours included."""
DISPOSITIONS_AT_ONCE = 10_000
"""Records of an unreadable batch that get a disposition each; a batch of ours has no more."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is sent. `at`: coordinates of the record."""

    at: Coordinates
    kind: str
    error: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class DeadLetters:
    """Makes the dead letters of one stage. `topics`: the catalog."""

    def __init__(self, stage: str, topics: Mapping[str, TopicSpec]) -> None:
        self._stage = stage
        self._limit = topics[DEAD_LETTERS].max_message_bytes

    def letter_of(self, arrived: Message, *, kind: DeadLetterKind, reason: str, topic_id: str = "") -> Letter:
        """The letter of a record as it came; see `letter`."""
        return self.letter(
            arrived.coordinates,
            arrived.timestamp,
            arrived.key,
            arrived.value,
            arrived.readable_headers,
            kind=kind,
            reason=reason,
            topic_id=topic_id,
        )

    def letter(
        self,
        at: Coordinates,
        timestamp: datetime,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        *,
        kind: DeadLetterKind,
        reason: str,
        topic_id: str = "",
    ) -> Letter:
        """The letter of the record at `at`. `headers` None: they are unreadable, and the letter says so.

        The letter is of `kind`, or of `too_large` where the record does not fit.
        """
        whole = dead_letter(
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            timestamp=timestamp,
            stage=self._stage,
            error_type=kind,
            error=reason,
            failed_at=datetime.now(UTC),
            topic_id=topic_id,
            headers=headers,
        )
        if isinstance(value, Unread):
            whole = replace(whole, whole_value=Whole(value.whole_bytes, value.whole_sha256))
        made, key, value = fitted(whole, key, value, self._limit)
        return Letter(
            at,
            made.error_type,
            made.error,
            key,
            value,
            tuple(made.headers()),
        )

    def dispositions(
        self, letter: Letter, value: bytes | None, recorded_at: datetime, record_id: str | None = None
    ) -> tuple[Output, ...]:
        """`disposition` of each record for which `value` stands: one, but where it is an `Unread` batch."""
        at = letter.at
        last = min(last_offset(value, at.offset), at.offset + DISPOSITIONS_AT_ONCE - 1)
        return tuple(
            self.disposition(replace(letter, at=replace(at, offset=offset)), recorded_at, record_id)
            for offset in range(at.offset, last + 1)
        )

    def disposition(self, letter: Letter, recorded_at: datetime, record_id: str | None = None) -> Output:
        """The disposition `dead` of the record. `record_id` None: its id is unreadable or too long."""
        at = letter.at
        record = Disposition(
            stage=self._stage,
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            id=record_id,
            outcome="dead",
            reason=letter.kind,
            recorded_at=recorded_at,
        )
        return Output(DISPOSITIONS, f"{self._stage}/{at.topic}/{at.partition}/{at.offset}", record)

    def sent(self, letter: Letter) -> None:
        """Counts and logs a letter that the broker acknowledged."""
        metrics.DEAD_LETTERS.labels(self._stage, letter.kind).inc()
        DEAD_LETTER_SENT.emit(
            log,
            stage=self._stage,
            kind=letter.kind,
            error=letter.error,
            topic=letter.at.topic,
            partition=letter.at.partition,
            offset=letter.at.offset,
        )


def fitted(
    letter: DeadLetter, key: bytes | None, value: bytes | None, limit: int
) -> tuple[DeadLetter, bytes | None, bytes | None]:
    """The letter with its key and value, cut where they take more than `limit` bytes together.

    Key and headers each get at most a quarter of what there is, the value the rest.
    """
    if len(letter.original_headers) <= MOST_HEADERS and record_bytes(key, value, letter.headers()) <= limit:
        return letter, key, value
    whole_key, whole_value = Whole.of(key or b""), Whole.of(value or b"")
    everything = replace(
        letter,
        error_type=TOO_LARGE,
        error=_with_kind(letter),
        # a record that was cut before is a head already
        whole_key=letter.whole_key or whole_key,
        whole_value=letter.whole_value or whole_value,
        dropped_headers=Dropped.of(letter.original_headers, letter.dropped_headers),
        original_headers=(),
    )
    room = limit - record_bytes(None, None, everything.headers())
    kept, dropped = _within(letter.original_headers, room // 4)
    key_head = key[: room // 4] if key is not None else None
    room -= headers_bytes(_as_original(kept)) + len(key_head or b"")
    value_head = value[:room] if value is not None else None
    cut = replace(
        everything,
        whole_key=everything.whole_key if key_head != key else letter.whole_key,
        whole_value=everything.whole_value if value_head != value else letter.whole_value,
        dropped_headers=Dropped.of(dropped, letter.dropped_headers) if dropped else letter.dropped_headers,
        original_headers=kept,
    )
    return cut, key_head, value_head


def _with_kind(letter: DeadLetter) -> str:
    """The error of a cut letter: why the record is in the dead letters, not that it is large."""
    if letter.error_type == TOO_LARGE:
        return letter.error
    return shortened(f"{letter.error_type}: {letter.error}")


def _within(headers: Headers, room: int) -> tuple[Headers, Headers]:
    """The headers that fit into `room` bytes of a letter, in order, and the others."""
    kept: list[tuple[str, bytes | None]] = []
    dropped: list[tuple[str, bytes | None]] = []
    for one in headers:
        size = headers_bytes(_as_original((one,)))
        if size <= room and len(kept) < MOST_HEADERS:
            kept.append(one)
            room -= size
        else:
            dropped.append(one)
    return tuple(kept), tuple(dropped)


def _as_original(headers: Headers) -> Iterator[tuple[str, bytes | None]]:
    return ((ORIGINAL + name, value) for name, value in headers)
