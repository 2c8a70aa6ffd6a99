"""Every kind of an unusable record: why it is in the dead letters, or was left out of a topic read whole.

Kinds are on the wire (header `dlq.error_type`, metrics, dispositions): one never changes its meaning.
`make generate` writes the table in docs/dispositions.md.
"""

from typing import Literal, NamedTuple

DeadLetterKind = Literal[
    "empty_body",
    "not_framed",
    "unknown_schema_id",
    "wrong_record",
    "wrong_subject",
    "unresolvable",
    "truncated",
    "trailing_bytes",
    "too_many_values",
    "contract",
    "wrong_key",
    "wrong_partition",
    "unknown_topic",
    "unreadable_headers",
    "unreadable_batch",
    "too_large",
    "state_too_large",
    "artifact_missing",
    "no_oracle",
    "killed_the_process",
    "refused_by_clickhouse",
    "wrong_tick",
    "wrong_hash",
    "unreadable_control",
]


class Kind(NamedTuple):
    """Why a record is unusable, and what to do about it."""

    code: DeadLetterKind
    meaning: str
    remedy: str


_PRODUCER = "mend the producer and send the record again"

KINDS: tuple[Kind, ...] = (
    Kind("empty_body", "The value is empty or null.", _PRODUCER),
    Kind("not_framed", "The value does not begin with 00 and an id.", "use a serializer of the registry"),
    Kind(
        "unknown_schema_id",
        "The registry has no schema of this id.",
        "use one registry for all",
    ),
    Kind("wrong_record", "The schema is of another record than the topic carries.", _PRODUCER),
    Kind(
        "wrong_subject",
        "The schema is not registered under the subject of the topic.",
        "register it there, so that its compatibility is checked",
    ),
    Kind(
        "unresolvable",
        "The schema is unsafe or incompatible, or the bytes do not fit it.",
        "see `error`; `opoi schemas check` compares schemas",
    ),
    Kind("truncated", "The bytes end in the middle of the record.", _PRODUCER),
    Kind("trailing_bytes", "Bytes follow the record.", _PRODUCER),
    Kind("too_many_values", "A small value unpacks to more values than a record may have.", _PRODUCER),
    Kind("contract", "The record breaks a rule of its topic; `error` names field and value.", _PRODUCER),
    Kind("wrong_key", "The message key is not the record's `agent/decision_id`.", _PRODUCER),
    Kind(
        "wrong_partition",
        "The key belongs to another partition.",
        "set the producer's partitioner to murmur2, and send the record again",
    ),
    Kind(
        "unknown_topic",
        "A record of a retry topic does not say from which topic it came.",
        "send it to its own topic, or with the header `dlq.topic`",
    ),
    Kind(
        "unreadable_headers",
        "A dead letter, or a record of a retry topic, lacks headers that opoi writes.",
        "send it with the headers of its dead letter",
    ),
    Kind(
        "unreadable_batch",
        "A batch has a wrong checksum, or the client cannot unpack it.",
        "check the producer's client and the broker's disk",
    ),
    Kind(
        "too_large",
        "The record, its key or what it leads to exceeds a limit; the letter may be cut.",
        "shorten it, or raise `max_message_bytes` of the topic",
    ),
    Kind(
        "state_too_large",
        "With this record the state of its key exceeds the changelog's limit.",
        "raise `max_message_bytes` of the changelog topic",
    ),
    Kind(
        "artifact_missing",
        "Prompt, tools or spec of the agent are not registered.",
        "`opoi agent register`, then send the dead letter again",
    ),
    Kind(
        "no_oracle",
        "The verdict gives no oracle; `error` says why.",
        "send a corrected revision",
    ),
    Kind(
        "killed_the_process",
        "Workers died on the record as often as is allowed.",
        "report the crash; after a fix send the dead letter again",
    ),
    Kind(
        "refused_by_clickhouse",
        "ClickHouse refuses the row; `error` has its reason.",
        "`opoi migrate status`, then send the dead letter again",
    ),
    Kind("wrong_tick", "A tick is for another partition count; it is only logged.", "restart the ticker"),
    Kind("wrong_hash", "An artifact's content is not that of its id.", "`opoi agent register`"),
    Kind(
        "unreadable_control",
        "A record of `opoi.controls` is unreadable and has no effect.",
        "`opoi replay pause` or `opoi replay resume`",
    ),
)
"""Every kind with its meaning and remedy."""
