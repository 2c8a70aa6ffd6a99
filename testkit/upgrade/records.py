"""Decisions and verdicts as plain values, in and out by the schemas that a stack's registry holds."""

import io
import json
import struct
from copy import deepcopy
from functools import cache
from typing import Any

import fastavro
from aiokafka.partitioner import murmur2
from confluent_kafka import Message

from testkit.upgrade.stack import Stack, as_bytes

DECISIONS, VERDICTS = "agent.decisions", "expert.verdicts"
POISON = b'{"this": "is JSON, not Avro"}'
COPY = "verdict-"
Values = dict[str, Any]


class Wire:
    """The registry's schemas."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._schema = cache(self._parsed)

    def decode(self, value: bytes) -> Values:
        """The values of a record in Confluent's frame."""
        [schema_id] = struct.unpack_from(">I", value, 1)
        found = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schema(schema_id), None)
        assert isinstance(found, dict)
        return found

    def encode(self, values: Values, like: bytes) -> bytes:
        """The values as a record of the same schema as `like`."""
        [schema_id] = struct.unpack_from(">I", like, 1)
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._schema(schema_id), values)
        return like[:5] + body.getvalue()

    def _parsed(self, schema_id: int) -> Any:
        return fastavro.parse_schema(json.loads(self._stack.registry(f"/schemas/ids/{schema_id}")["schema"]))


class Copies:
    """A recorded decision and the verdict that corrects it, again and again under other ids."""

    def __init__(self, stack: Stack) -> None:
        self._wire = Wire(stack)
        # what is kept for tests never gets as far as an example
        reviews = stack.read("opoi.reviews")
        train = {as_bytes(one.key()) for one in reviews if self._of(one)["split"] == "train"}
        corrected = {
            as_bytes(one.key()): as_bytes(one.value())
            for one in stack.read(VERDICTS)
            if as_bytes(one.key()) in train and self._of(one)["kind"] == "correct"
        }
        decisions = [(as_bytes(one.key()), as_bytes(one.value())) for one in stack.read(DECISIONS)]
        # the smallest: the archive is committed
        key, self._decision = min(
            (pair for pair in decisions if pair[0] in corrected), key=lambda pair: len(pair[1])
        )
        self._verdict = corrected[key]

    def _of(self, message: Message) -> Values:
        return self._wire.decode(as_bytes(message.value()))

    def decision(self, name: str) -> tuple[str, str, bytes]:
        """Topic, key and value of the decision `name`."""
        values = self._wire.decode(self._decision) | {"decision_id": name}
        return DECISIONS, key_of(values), self._wire.encode(values, self._decision)

    def verdict(self, name: str, kind: str = "correct", revision: int = 1) -> tuple[str, str, bytes]:
        """Topic, key and value of a verdict on the decision `name`."""
        values = deepcopy(self._wire.decode(self._verdict))
        values |= {"decision_id": name, "verdict_id": f"{COPY}{name}", "revision": revision, "kind": kind}
        if kind != "correct":
            values["corrected_action"] = None
        return VERDICTS, key_of(values), self._wire.encode(values, self._verdict)

    def pair(self, name: str, kind: str = "correct") -> list[tuple[str, str, bytes]]:
        """A decision and a verdict on it."""
        return [self.decision(name), self.verdict(name, kind)]


def is_copy(verdict: Values) -> bool:
    """Whether a verdict is one of `Copies`."""
    return str(verdict["verdict_id"]).startswith(COPY)


def key_of(values: Values) -> str:
    """The key of everything about a decision."""
    return f"{values['agent']}/{values['decision_id']}"


def partition_of(key: str, partitions: int) -> int:
    """Where a record of this key belongs."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions
