"""Decisions to Kafka, with the settings that keep them whole and in the right partition."""

import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from opoi_client.decision import Decision, schema_text

TOPIC = "agent.decisions"
MAX_BYTES = 4 * 1024 * 1024
"""Largest record that the topic takes, with its framing."""

PRODUCER: Mapping[str, Any] = {
    # decisions and verdicts of a key must share a partition number
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
}
REGISTRY: Mapping[str, Any] = {
    # schemas are registered by `opoi schemas apply`, never by a producer
    "auto.register.schemas": False,
    "use.latest.version": True,
}
REGISTRY_SECONDS = 5
_NOT_FOUND = 404
_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2")


class NotSent(Exception):
    """Decisions that Kafka did not acknowledge; the text says which and why."""


class KafkaSink:
    """Sends decisions to `topic`. Flush it, or use it in `with`: what is waiting is sent then.

    Its connections close when nothing refers to it any more.

    `producer` and `registry` are further settings of confluent-kafka's Producer and SchemaRegistryClient,
    such as TLS and SASL. Raises ValueError for one that would lose decisions or send them astray.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        registry_url: str,
        *,
        topic: str = TOPIC,
        producer: Mapping[str, Any] | None = None,
        registry: Mapping[str, Any] | None = None,
    ) -> None:
        self._registry_url = registry_url
        self._topic = topic
        self._refused: dict[str, str] = {}
        client = SchemaRegistryClient(
            # it waits for ever by default, and a registry may leave a request open
            {"url": registry_url, "timeout": REGISTRY_SECONDS, **(registry or {})}
        )
        weakref.finalize(self, client.close)
        self._serialize = AvroSerializer(client, schema_text(), conf=dict(REGISTRY))
        self._producer = Producer(producer_config(bootstrap_servers, producer or {}))

    def send(self, decision: Decision) -> None:
        """Hand the decision over; it is safe once `flush` has returned. Raises NotSent."""
        try:
            value = self._serialize(dict(decision), SerializationContext(self._topic, MessageField.VALUE))
        except SchemaRegistryError as error:
            lacks = error.http_status_code == _NOT_FOUND
            what = f"has no schema of {self._topic}" if lacks else f"answered {error.http_status_code}"
            advice = "; run `opoi schemas apply`" if lacks else ""
            raise NotSent(
                f"{decision.key}: the registry {self._registry_url} {what} ({error.error_message}){advice}"
            ) from error
        except (SerializationError, ValueError, TypeError, LookupError) as error:
            raise NotSent(f"{decision.key} cannot be written: {error}") from error
        except Exception as error:
            # the registry client's HTTP library is its own choice, and not imported here
            if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _HTTP:
                raise
            why = str(error) or type(error).__name__
            raise NotSent(
                f"{decision.key}: the registry {self._registry_url} does not answer: {why}"
            ) from error
        if value is None or len(value) > MAX_BYTES:
            raise NotSent(f"{decision.key} has {len(value or b'')} bytes; {self._topic} takes {MAX_BYTES}")
        try:
            self._producer.produce(self._topic, value, decision.key, on_delivery=self._delivered)
        except (BufferError, KafkaException) as error:
            raise NotSent(f"{decision.key} was not taken: {error}; flush, then send it again") from error
        self._producer.poll(0)

    def flush(self, seconds: float = 30.0) -> None:
        """Wait until everything that was sent is acknowledged. Raises NotSent.

        What is still waiting after `seconds` is tried on, for as long as `message.timeout.ms` says.
        """
        waiting = self._producer.flush(seconds)
        refused, self._refused = self._refused, {}
        if refused:
            key, why = next(iter(refused.items()))
            raise NotSent(f"{len(refused)} decisions were not acknowledged, the first {key}: {why}")
        if waiting:
            raise NotSent(f"{waiting} decisions were not acknowledged within {seconds:g} s, and are tried on")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            key = message.key()
            self._refused[key.decode() if isinstance(key, bytes) else str(key)] = error.str()


def producer_config(bootstrap_servers: str, further: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the producer. Raises ValueError where `further` would undo what must hold."""
    undone = [
        f"{name}={further[name]!r}" for name, value in PRODUCER.items() if further.get(name, value) != value
    ]
    if undone:
        raise ValueError(f"{', '.join(undone)} would lose decisions or send them astray; leave it out")
    return {
        "bootstrap.servers": bootstrap_servers,
        "compression.type": "lz4",
        "message.max.bytes": MAX_BYTES + 2 * 1024 * 1024,
        **further,
        **PRODUCER,
    }
