"""A Kafka message as a step and a dead letter need it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.stages import RETRY
from streams.core.contract import Coordinates, Headers, Poison, header

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799_999
"""31 December 9999, in milliseconds since 1970: producers send any number."""
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received. `coordinates.topic` is logical; `timestamp` is the broker's, UTC."""

    coordinates: Coordinates
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers
    has_headers: bool = True
    """False if its headers cannot be read: a name is not UTF-8, or reading them killed the process before."""

    @property
    def readable_headers(self) -> Headers | None:
        """The headers; None if they cannot be read."""
        return self.headers if self.has_headers else None


def from_milliseconds(milliseconds: int) -> datetime:
    """A Kafka timestamp as UTC, exactly; one before 1970 or after 9999 becomes that bound."""
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, 0), _LAST))


def message_of(message: Any, logical: str) -> Message:
    """A message of Faust, read from the topic whose logical name is `logical`."""
    return Message(
        Coordinates(logical, message.partition, message.offset),
        from_milliseconds(round(message.timestamp * 1000)),
        message.key,
        message.value,
        tuple(message.headers or ()),
    )


def trace_headers(headers: Headers) -> Headers:
    """The headers that an output takes over from its input: a `traceparent` in W3C's form.

    https://www.w3.org/TR/trace-context/#traceparent-header: version 00, no id of zeros only. Anything else
    is not copied: it may have megabytes, and would be copied to every output.
    """
    found = header(headers, "traceparent")
    if found is None or _TRACEPARENT.fullmatch(found) is None:
        return ()
    return (("traceparent", found),)


def contract_topic(arrived: Message, sources: tuple[str, ...]) -> str:
    """The logical topic whose contract the record keeps. Raises `Poison`.

    A record of the retry topic names it in the header `dlq.topic`.
    """
    topic = arrived.coordinates.topic
    if not topic.startswith(RETRY):
        return topic
    if not arrived.has_headers:
        raise Poison("unreadable_headers", "its headers cannot be read, and one of them names its topic")
    named = (header(arrived.headers, "dlq.topic") or b"").decode(errors="replace")
    if named not in sources:
        raise Poison(
            "unknown_topic",
            f"header dlq.topic is {named!r}; this stage reads {', '.join(sources)}: "
            "send the record again to the topic that it came from",
        )
    return named
