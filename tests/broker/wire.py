"""Topics and subjects of a test's own on the shared stack, so that no test sees another's records."""

import uuid
from dataclasses import dataclass

from schemas.catalog import topics
from schemas.codec import Codec
from schemas.registry import make_codec
from schemas.settings import KafkaSettings, RegistrySettings
from streams.settings import Settings


@dataclass(frozen=True)
class Wire:
    """The part of the settings that leads to broker and registry."""

    kafka: KafkaSettings
    registry: RegistrySettings

    def codec(self) -> Codec:
        """A codec over the registry."""
        return make_codec(self)


def own_wire(settings: Settings, partitions: int = 2) -> Wire:
    """A wire on which every topic has a physical name that nobody else has."""
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    names = {name: f"{prefix}.{name}" for name in topics()}
    kafka = settings.kafka.model_copy(update={"topic_names": names, "partitions": partitions})
    return Wire(kafka, settings.registry)
