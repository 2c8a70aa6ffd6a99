"""The artifact store over a real broker: everything that is on the topic is found, nothing else is."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.codec import Codec, SubjectNames
from schemas.deploy import apply_schemas, apply_topics
from schemas.errors import RegistryAway
from schemas.examples import examples
from schemas.identity import sha256
from schemas.records import Artifact, ArtifactKind
from schemas.registry import ConfluentRegistry
from streams.agents.artifact_store import TOPIC, ArtifactMissing, ArtifactsAway, ArtifactStore, publish
from streams.runtime.kafka_clients import CheckedProducer
from testkit.running_stack import RunningStack
from tests.broker.wire import Wire, own_wire

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


def artifact(content: bytes, kind: ArtifactKind = "system_prompt") -> Artifact:
    return Artifact(
        artifact_id=sha256(content),
        kind=kind,
        agent="media-buyer",
        name="prompt",
        version="1",
        media_type="text/markdown",
        content=content,
        registered_at=NOW,
    )


@pytest.fixture(scope="module")
def wire(stack: RunningStack) -> Wire:
    """A deployed wire of this module's own."""
    own = own_wire(stack.settings)
    apply_topics(own, lambda _: None)
    apply_schemas(own, lambda _: None)
    return own


@pytest.fixture
def store(wire: Wire) -> Iterator[ArtifactStore]:
    """A store on it."""
    found = ArtifactStore(wire.kafka, wire.codec())
    yield found
    found.close()


def test_what_was_published_is_found_whenever_it_came(wire: Wire, store: ArtifactStore) -> None:
    wanted = [record for record in examples(TOPIC) if isinstance(record, Artifact)]
    publish(wire.kafka, wire.codec(), wanted[:1])
    assert store.get(wanted[0].artifact_id, wanted[0].kind) == wanted[0]

    publish(wire.kafka, wire.codec(), wanted)

    assert [store.get(one.artifact_id, one.kind) for one in wanted] == wanted
    assert {one.artifact_id for one in store.all()} >= {one.artifact_id for one in wanted}
    assert store.content(wanted[2].artifact_id) == wanted[2].content


def test_a_missing_artifact_says_what_to_run(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactMissing, match="opoi agent register"):
        store.get("0" * 64, "system_prompt")

    assert store.content("0" * 64) is None


def test_an_artifact_of_another_kind_is_missing(wire: Wire, store: ArtifactStore) -> None:
    publish(wire.kafka, wire.codec(), [artifact(b"{}", "toolset")])

    with pytest.raises(ArtifactMissing, match="is a toolset, not a agent_spec"):
        store.get(sha256(b"{}"), "agent_spec")


def test_an_artifact_that_comes_while_one_waits_is_found(wire: Wire, store: ArtifactStore) -> None:
    late = artifact(b"late")
    publisher = threading.Timer(0.5, publish, (wire.kafka, wire.codec(), [late]))
    publisher.start()

    assert store.get(late.artifact_id, "system_prompt", wait_seconds=20) == late
    publisher.join()


def test_content_that_does_not_match_its_hash_is_not_given_out(wire: Wire, store: ArtifactStore) -> None:
    forged = artifact(b"genuine").model_copy(update={"content": b"forged"})
    producer = CheckedProducer(wire.kafka)
    producer.send(TOPIC, forged.artifact_id, wire.codec().encode(TOPIC, forged))
    producer.send(TOPIC, "poison", b"\x00no record")
    producer.flush()

    with pytest.raises(ArtifactMissing):
        store.get(forged.artifact_id, "system_prompt")
    publish(wire.kafka, wire.codec(), [artifact(b"genuine")])
    assert store.get(forged.artifact_id, "system_prompt").content == b"genuine"


class Flaky:
    """A registry that is away when it is asked for a schema for the first time."""

    def __init__(self, registry: ConfluentRegistry) -> None:
        self._registry = registry
        self.away = True

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        if self.away:
            self.away = False
            raise RegistryAway("away")
        return self._registry.schema_of(schema_id)

    def subjects_of(self, schema_id: int) -> list[str] | None:
        return self._registry.subjects_of(schema_id)

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        return self._registry.id_of(subject, schema)


def test_nothing_is_skipped_while_the_registry_is_away(wire: Wire) -> None:
    known = artifact(b"known")
    publish(wire.kafka, wire.codec(), [known])
    codec = Codec(Flaky(ConfluentRegistry(wire.registry)), SubjectNames(wire.kafka.topic_names))
    store = ArtifactStore(wire.kafka, codec)

    with pytest.raises(RegistryAway):
        store.get(known.artifact_id, "system_prompt")
    assert store.get(known.artifact_id, "system_prompt") == known
    store.close()


def test_a_broker_that_is_away_is_told_from_a_missing_artifact(wire: Wire) -> None:
    lost = wire.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    store = ArtifactStore(lost, wire.codec())
    begun = time.monotonic()

    with pytest.raises(ArtifactsAway, match=r"cannot be read from 127.0.0.1:9"):
        store.get("0" * 64, "system_prompt")

    assert time.monotonic() - begun < 60
    store.close()
