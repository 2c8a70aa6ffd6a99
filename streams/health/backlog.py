"""Records that wait for the workers of a group, from the broker."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerAway
from schemas.settings import KafkaSettings
from schemas.stages import group_of
from streams.runtime.kafka_clients import LogOffsets, make_admin
from streams.runtime.offsets import Position

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that are not done yet, by logical topic, and the workers that share them."""

    waiting: dict[str, int]
    workers: int


def backlog(kafka: KafkaSettings, stage: str, topics: Sequence[str]) -> Backlog:
    """The backlog of the group of `stage`. Raises BrokerAway."""
    admin, group = make_admin(kafka), group_of(stage)
    log_offsets = LogOffsets(kafka)
    try:
        waiting = {topic: _waiting(admin, log_offsets, group, kafka.physical(topic)) for topic in topics}
        return Backlog(waiting, _workers(admin, group))
    except KafkaException as error:
        raise BrokerAway(f"the broker {kafka.bootstrap_servers} does not answer: {error.args[0]}") from error


def _waiting(admin: AdminClient, log_offsets: LogOffsets, group: str, topic: str) -> int:
    """Records that the group has not done; those done beyond its committed offset do not count."""
    partitions = admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions
    places = [TopicPartition(topic, each) for each in partitions]
    if not places:
        return 0
    wanted = ConsumerGroupTopicPartitions(group, places)
    committed = admin.list_consumer_group_offsets([wanted], request_timeout=SECONDS)[group].result()
    waiting = 0
    starts, ends = log_offsets.starts(places), log_offsets.ends(places)
    for each in committed.topic_partitions:
        place = TopicPartition(topic, each.partition)
        first, end = starts[place], ends[place]
        position = Position.parse(max(first, each.offset), each.metadata if each.offset >= first else None)
        waiting += max(0, end - position.end) + len(position.unfinished)
    return waiting


def _workers(admin: AdminClient, group: str) -> int:
    described = admin.describe_consumer_groups([group], request_timeout=SECONDS)[group]
    try:
        return len(described.result().members)
    except KafkaException:
        return 0  # a group that was never joined
