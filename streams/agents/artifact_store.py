"""The artifact store: prompts, tool declarations and AgentSpecs by content hash, on a compacted topic."""

import threading
import time
from collections.abc import Iterable

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.codec import Codec
from schemas.errors import RegistryAway, SchemaError, Undecodable, one_line
from schemas.identity import sha256
from schemas.log_events import RECORD_LEFT_OUT
from schemas.records import Artifact, ArtifactKind
from schemas.settings import KafkaSettings
from streams.runtime import metrics
from streams.runtime.broadcast_topic import left_out_batch
from streams.runtime.kafka_clients import CheckedProducer, make_consumer
from streams.runtime.offsets import Source
from streams.runtime.standstill import CANNOT_READ, begin_trial, place_of

TOPIC = "agent.artifacts"
POLL_SECONDS = 0.2
BROKER_SECONDS = 5.0
"""Short: a waiting worker delays its partitions, and tries again."""
PATIENT_SECONDS = 30.0
"""For commands: a broker that has just started is slow for a while."""

log = structlog.get_logger(__name__)


class ArtifactMissing(SchemaError):
    """No artifact has this hash; the text says what to run."""


class ArtifactsAway(RegistryAway):
    """The broker does not answer, so the topic cannot be read; wait and try again."""


def publish(settings: KafkaSettings, codec: Codec, artifacts: Iterable[Artifact]) -> None:
    """Puts artifacts on the topic, acknowledged; doing it again changes nothing. Raises DeliveryFailed."""
    # a fresh broker is still electing, and librdkafka would print that to stderr
    producer = CheckedProducer(settings, log_level=3)
    for artifact in artifacts:
        producer.send(TOPIC, artifact.artifact_id, codec.encode(TOPIC, artifact))
    producer.flush()


class ArtifactStore:
    """A local copy of the topic, read on demand. Thread-safe.

    It belongs to no consumer group: every process reads all of it. A broker without an answer for
    `patience` seconds counts as unreachable.
    """

    def __init__(self, settings: KafkaSettings, codec: Codec, *, patience: float = BROKER_SECONDS) -> None:
        self._patience = patience
        self._settings = settings
        self._codec = codec
        self._lock = threading.Lock()
        self._found: dict[str, Artifact] = {}
        self._next: dict[int, int] = {}
        self._consumer: Consumer | None = None

    def get(self, artifact_id: str, kind: ArtifactKind, wait_seconds: float = 0.0) -> Artifact:
        """The artifact; where it is not known yet, reads on for up to `wait_seconds`.

        Raises ArtifactMissing, ArtifactsAway.
        """
        give_up = time.monotonic() + wait_seconds
        while True:
            found = self._found.get(artifact_id) or self._read_on(artifact_id)
            if found is not None:
                if found.kind != kind:
                    raise ArtifactMissing(f"artifact {artifact_id} is a {found.kind}, not a {kind}")
                return found
            if time.monotonic() >= give_up:
                raise ArtifactMissing(
                    f"no {kind} with hash {artifact_id} on {self._settings.physical(TOPIC)}; "
                    "put it there with `opoi agent register SPEC.yaml`"
                )
            time.sleep(POLL_SECONDS)

    def content(self, artifact_id: str) -> bytes | None:
        """The bytes with this hash; None where nothing has it. Raises ArtifactsAway."""
        found = self._found.get(artifact_id) or self._read_on(artifact_id)
        return found.content if found is not None else None

    def all(self) -> list[Artifact]:
        """Everything that is on the topic now. Raises ArtifactsAway."""
        self._read_on("")
        return list(self._found.values())

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _read_on(self, artifact_id: str) -> Artifact | None:
        """Reads up to where the topic ends now."""
        with self._lock:
            if artifact_id not in self._found:
                try:
                    self._read_to_end()
                except KafkaException as error:
                    servers = self._settings.bootstrap_servers
                    raise self._unreachable(
                        f"{TOPIC} cannot be read from {servers}: {error.args[0].str()}"
                    ) from error
            return self._found.get(artifact_id)

    def _partitions(self, consumer: Consumer, topic: str) -> list[int]:
        """The topic's partitions; a refused connection is an error sooner than a slow answer."""
        give_up = time.monotonic() + self._patience
        while True:
            try:
                described = consumer.list_topics(topic, timeout=BROKER_SECONDS).topics[topic]
            except KafkaException as error:
                if error.args[0].code() == KafkaError._TRANSPORT or time.monotonic() > give_up:
                    raise
                continue
            if described.error is not None:
                raise KafkaException(described.error)
            return list(described.partitions)

    def _read_to_end(self) -> None:
        topic = self._settings.physical(TOPIC)
        if self._consumer is None:
            # the group is never joined nor committed to: partitions are assigned by hand
            self._consumer = make_consumer(self._settings, f"opoi-artifacts-{id(self)}", **_BY_HAND)
        consumer = self._consumer
        ends = {}
        for one in self._partitions(consumer, topic):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=self._patience)
            ends[one] = high
            self._next[one] = max(low, self._next.get(one, 0))
        behind = {partition for partition, end in ends.items() if self._next[partition] < end}
        if not behind:
            return
        consumer.assign([TopicPartition(topic, one, self._next[one]) for one in sorted(behind)])
        give_up = time.monotonic() + self._patience
        while behind:
            message = consumer.poll(POLL_SECONDS)
            if message is None:
                # compaction may have removed what the end offset counts
                for place in consumer.position([TopicPartition(topic, one) for one in behind]):
                    if place.offset >= ends[place.partition]:
                        behind.discard(place.partition)
                if behind and time.monotonic() > give_up:
                    self._try_alone(topic, behind)
                    raise self._unreachable(f"{topic}: nothing came for {self._patience:g} s before its end")
                continue
            give_up = time.monotonic() + self._patience
            if (error := message.error()) is not None:
                if error.code() not in CANNOT_READ:
                    raise KafkaException(error)
                self._skip(*place_of(message))
                behind = {one for one in behind if self._next[one] < ends[one]}
                consumer.assign([TopicPartition(topic, one, self._next[one]) for one in sorted(behind)])
                continue
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            # kept first: if the registry is unreachable, the next reading begins here again
            self._keep(offset, message.value())
            self._next[partition] = offset + 1
            if offset + 1 >= ends[partition]:
                behind.discard(partition)

    def _try_alone(self, topic: str, partitions: Iterable[int]) -> None:
        """Skips one batch that the client neither returns nor reports; one a call: each takes seconds."""
        for partition in sorted(partitions):
            source, offset = Source(topic, partition), self._next[partition]
            if begin_trial(self._settings, f"opoi-artifacts-{id(self)}", source, offset).result():
                self._skip(source, offset)
                return

    def _skip(self, source: Source, offset: int) -> None:
        """Leaves out the batch with `offset`, which the client cannot read."""
        # aiokafka is needed only here
        from streams.runtime.stored_batch import NoAnswer, batch_at

        try:
            batch = batch_at(self._settings, source, offset, self._next[source.partition])
        except NoAnswer as error:
            raise self._unreachable(str(error)) from error
        if batch is not None:
            self._next[source.partition] = batch.last + 1
            left_out_batch(TOPIC, batch)

    def _unreachable(self, text: str) -> ArtifactsAway:
        # a client can stop fetching for good after an outage; the next reading has a new one
        self._consumer = None
        return ArtifactsAway(text)

    def _keep(self, offset: int, value: bytes | str | None) -> None:
        try:
            artifact = self._codec.decode_as(TOPIC, value if isinstance(value, bytes) else None, Artifact)
        except Undecodable as error:
            metrics.LEFT_OUT.labels(TOPIC, error.kind).inc()
            RECORD_LEFT_OUT.emit(log, topic=TOPIC, offset=offset, kind=error.kind, error=error.reason)
            return
        if sha256(artifact.content) != artifact.artifact_id:
            metrics.LEFT_OUT.labels(TOPIC, "wrong_hash").inc()
            RECORD_LEFT_OUT.emit(
                log,
                topic=TOPIC,
                offset=offset,
                kind="wrong_hash",
                error=f"its content is not that of its id {one_line(artifact.artifact_id)}",
            )
            return
        self._found[artifact.artifact_id] = artifact


# what goes wrong is raised, so librdkafka need not also print it
_BY_HAND = {"group.protocol": "classic", "enable.partition.eof": False, "log_level": 0}
