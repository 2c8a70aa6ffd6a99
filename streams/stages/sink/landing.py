"""Which records of the broker's logs have no row in ClickHouse, one partition at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import TopicPartition

from schemas.settings import KafkaSettings
from sinks.clickhouse import ClickHouse
from sinks.tables import tables
from streams.runtime.kafka_clients import BROKER_SECONDS, LogOffsets, make_admin
from streams.stages.sink.topic_ids import TopicIds

_OF_A_BATCH = "^(?:unreadable_batch: )?the batch of the offsets [0-9]+ to ([0-9]+) cannot be read: "
"""How the letter of a whole batch begins, `StoredBatch.unread`; it is the letter of each of its records."""
_MOST_OF_A_BATCH = 1_000_000


@dataclass(frozen=True, slots=True)
class Landed:
    """Content of ClickHouse for one partition: number of distinct offsets, and the offset after the last."""

    offsets: int
    after: int


@dataclass(frozen=True, slots=True)
class Log:
    """Content of the broker for one partition of a logical topic: offsets from `start` to before `end`."""

    topic: str
    partition: int
    start: int
    end: int

    def without_row(self, landed: Landed) -> int:
        """Number of its records without a row.

        Every offset is a record: no producer of ours is transactional. A compacted topic lacks offsets
        for good, so only its last one counts.
        """
        if tables()[self.topic].topic.cleanup == "compact":
            return max(0, self.end - max(self.start, landed.after))
        return max(0, self.end - self.start - landed.offsets)


class Landing:
    """Compares the sunk topics with their tables."""

    def __init__(self, kafka: KafkaSettings, server: ClickHouse) -> None:
        self._server = server
        self._names = {kafka.physical(name): name for name in tables()}
        self._admin = make_admin(kafka)
        self._log_offsets = LogOffsets(kafka)
        self._topic_ids = TopicIds(kafka)

    def without_row(self) -> dict[str, int]:
        """Records without a row, by `topic[partition]`; empty: everything has landed.

        Raises KafkaException and BrokerAway if the broker does not answer, ClickHouseAway.
        """
        starts = self._log_offsets.starts(self._partitions())
        places = {one: f"{self._topic_ids(self._names[one.topic])}/{one.partition}" for one in starts}
        found = landed(self._server, {places[one]: start for one, start in starts.items()})
        # read last: a record that arrives meanwhile counts as not landed, until the next call
        ends = self._log_offsets.ends(starts)
        return without_row(
            (
                Log(self._names[one.topic], one.partition, start, ends[one]),
                found.get(places[one], Landed(0, 0)),
            )
            for one, start in starts.items()
        )

    def _partitions(self) -> list[TopicPartition]:
        described = self._admin.list_topics(timeout=BROKER_SECONDS).topics
        return [
            TopicPartition(name, partition)
            for name in self._names
            if name in described
            for partition in described[name].partitions
        ]


def without_row(compared: Iterable[tuple[Log, Landed]]) -> dict[str, int]:
    """Records without a row, by `topic[partition]`, for partitions with such records."""
    counted = {f"{log.topic}[{log.partition}]": log.without_row(held) for log, held in compared}
    return {place: records for place, records in counted.items() if records}


def landed(server: ClickHouse, starts: Mapping[str, int]) -> dict[str, Landed]:
    """Landed offsets from `starts` on, both by `topic id/partition`. Raises ClickHouseAway.

    A record that the sink could not read has landed too: it is in the dead letters.
    """
    rows = [
        f"SELECT toString(_topic_id) AS topic_id, _partition AS partition, _offset AS offset FROM {one.name}"
        for one in tables().values()
    ]
    rows.append(
        "SELECT headers['dlq.topic_id'], partition, arrayJoin(range(offset, greatest(offset,"
        f" least(toInt64OrZero(extract(error, '{_OF_A_BATCH}')), offset + {_MOST_OF_A_BATCH})) + 1))"
        " FROM dead_letters_raw WHERE stage = 'sink'"
    )
    found = server.query(
        "SELECT concat(topic_id, '/', toString(partition)) AS place, uniqExact(offset), max(offset) + 1"
        f" FROM ({' UNION ALL '.join(rows)}) WHERE has({{places:Array(String)}}, place)"
        " AND offset >= {starts:Array(Int64)}[indexOf({places:Array(String)}, place)] GROUP BY place",
        {"places": list(starts), "starts": list(starts.values())},
    )
    return {place: Landed(offsets, after) for place, offsets, after in found.result_rows}
