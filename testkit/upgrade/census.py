"""What a stack holds: every record, every group's offsets, how its workers ended."""

import hashlib
import json
from typing import Any

from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from streams.runtime.kafka_clients import header_pairs
from testkit.upgrade.stack import WORKERS, Stack, as_bytes

Census = dict[str, Any]


def census(stack: Stack) -> Census:
    """Each topic's digests (of a compacted one only its ends), the groups' offsets, the workers' exits."""
    topics = stack.topics()
    compacted = [name for name in topics if is_compacted(stack, name)]
    return {
        "partitions": topics,
        "topics": {name: digests(stack, name) for name in topics if name not in compacted},
        "compacted": {name: ends(stack, name) for name in compacted},
        "groups": stack.committed(),
        "exits": {name: stack.exits(name) for name in WORKERS if stack.exits(name)},
    }


def ends(stack: Stack, topic: str) -> dict[str, int]:
    """The end of each partition in which anything ever stood."""
    return {str(partition): end for partition, (_, end) in stack.bounds(topic).items() if end}


def digests(stack: Stack, topic: str, below: dict[str, int] | None = None) -> dict[str, tuple[int, str]]:
    """Of each partition in which anything stood its end, or the one in `below`, and a digest up to there."""
    found = {
        partition: (end, hashlib.sha256())
        for partition, end in (ends(stack, topic) if below is None else below).items()
    }
    for message in stack.read(topic):
        end, so_far = found.get(str(message.partition()), (0, None))
        if so_far is not None and (message.offset() or 0) < end:
            headers = [(name, as_bytes(value).hex()) for name, value in header_pairs(message.headers())]
            of = [message.offset(), as_bytes(message.key()).hex(), as_bytes(message.value()).hex(), headers]
            so_far.update(json.dumps(of).encode())
    return {partition: (end, so_far.hexdigest()) for partition, (end, so_far) in found.items()}


def is_compacted(stack: Stack, topic: str) -> bool:
    """Whether the broker keeps the last record of each key alone."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    [answer] = stack.admin.describe_configs([resource]).values()
    return "compact" in answer.result()["cleanup.policy"].value
