"""Kafka clients: the one place that configures them."""

import logging
import operator
import ssl
import threading
from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.catalog import client_message_bytes
from schemas.settings import KafkaSettings

BROKER_SECONDS = 10.0
"""Time limit of requests about logs."""
CLIENT_LOG = logging.getLogger("librdkafka")


class DeliveryFailed(Exception):
    """The broker refused a record, or did not acknowledge it in time."""


def _client_config(settings: KafkaSettings) -> dict[str, Any]:
    # with every broker unreachable, librdkafka 2.10 and later forgets how often it tried: its default is
    # twenty tries and log lines a second for as long as that lasts
    return {**settings.client_config(), "reconnect.backoff.ms": 1_000}


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Idempotent, acknowledged by all, and partitioned as Java and Faust do (murmur2)."""
    return {
        **_client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": client_message_bytes(),
    }


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Commits are the caller's; a group without offsets starts at the beginning."""
    config: dict[str, Any] = {
        **_client_config(settings),
        "group.id": group,
        "group.protocol": settings.group_protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # the default of 1 s makes catching up on small messages many times slower
        "fetch.queue.backoff.ms": 5,
        "fetch.message.max.bytes": 8 * 1024 * 1024,
    }
    if settings.group_protocol == "classic":
        config |= {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 10_000}
    return config


def make_consumer(settings: KafkaSettings, group: str, **overrides: Any) -> Consumer:
    """A consumer of the group `group`; `overrides` are librdkafka properties."""
    # its log lines are delivered by polls, and consumers always poll
    return Consumer({**consumer_config(settings, group), **overrides}, logger=CLIENT_LOG)


def make_admin(settings: KafkaSettings) -> AdminClient:
    """An admin client."""
    return AdminClient(_client_config(settings))


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """What TLS is spoken with by clients in Python; None: none is spoken."""
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    if settings.ssl_certificate_location is not None:
        password = settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else None
        context.load_cert_chain(settings.ssl_certificate_location, settings.ssl_key_location, password)
    return context


def aiokafka_config(settings: KafkaSettings) -> dict[str, Any]:
    """How a client of aiokafka reaches the broker, secrets in the clear."""
    config: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        assert settings.sasl_password is not None
        config |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return config


class LogOffsets:
    """First and next offset of logs, from the broker; partitions by physical topic. Thread-safe."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = make_admin(settings)

    def starts(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """First offset of each partition. Raises KafkaException."""
        # confluent-kafka has no types for it
        return self._ask(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def ends(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Next offset of each partition for a reader of committed records. Raises KafkaException."""
        # confluent-kafka has no types for it
        return self._ask(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _ask(self, places: Iterable[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        asked = dict.fromkeys(places, spec)
        if not asked:
            return {}
        try:
            return self._ask_once(asked)
        except KafkaException as error:
            # after a broker's restart an admin client asks for ever with the leader epoch that it knew
            self._admin = make_admin(self._settings)
            if error.args[0].code() != KafkaError.FENCED_LEADER_EPOCH:
                raise
            return self._ask_once(asked)

    def _ask_once(self, asked: dict[TopicPartition, OffsetSpec]) -> dict[TopicPartition, int]:
        # a client that another thread replaces must live until it has answered
        admin = self._admin
        answers = admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=BROKER_SECONDS
        )
        return {place: answer.result().offset for place, answer in answers.items()}


def header_pairs(headers: Any) -> tuple[tuple[str, bytes | None], ...]:
    """Headers of a message, from any of the client's forms."""
    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    return tuple((name, as_bytes(value)) for name, value in pairs)


def headers_of(message: Message) -> tuple[tuple[str, bytes | None], ...] | None:
    """A message's headers; None where a name in them is no UTF-8. To be asked once for a message.

    Then the client answers with an exception set and a list with holes, which end the process by a signal. A
    call through `operator` is one that Python always checks for that.
    """
    try:
        return header_pairs(_headers(message))
    except SystemError:
        return None


_headers = operator.methodcaller("headers")


def as_bytes(value: str | bytes | None) -> bytes | None:
    """A key or value as it is on the wire."""
    return value.encode() if isinstance(value, str) else value


class CheckedProducer:
    """A producer that remembers every failed delivery until `flush` raises it. Thread-safe."""

    def __init__(self, settings: KafkaSettings, **overrides: Any) -> None:
        self._settings = settings
        self._producer = Producer({**producer_config(settings), **overrides})
        self._failures: list[str] = []
        self._lock = threading.Lock()

    def send(
        self,
        topic: str,
        key: bytes | str | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> None:
        """Hands one record to the broker's queue; `topic` is logical. Blocks while the queue is full."""
        physical = self._settings.physical(topic)
        pairs: list[tuple[str, str | bytes | None]] = [*headers]
        while True:
            try:
                self._producer.produce(
                    physical,
                    value,
                    key,
                    partition=partition,
                    headers=pairs or None,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def flush(self, timeout: float = 60.0) -> None:
        """Waits until everything sent is acknowledged. Raises DeliveryFailed where something is not."""
        left = self._producer.flush(timeout)
        with self._lock:
            failures, self._failures = self._failures, []
        if failures:
            raise DeliveryFailed(f"{len(failures)} records were not delivered, the first: {failures[0]}")
        if left:
            raise DeliveryFailed(f"{left} records were not acknowledged within {timeout:g} s")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            with self._lock:
                self._failures.append(f"{message.topic()}[{message.partition()}]: {error}")
