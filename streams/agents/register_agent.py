"""Puts agents on the artifacts topic."""

from schemas.records import Artifact
from schemas.registry import make_codec
from streams.agents.artifact_store import PATIENT_SECONDS, ArtifactStore, publish
from streams.settings import Settings


def register_agent(settings: Settings, wanted: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
    """Publishes those of `wanted` that are not there yet, and returns them."""
    codec = make_codec(settings)
    store = ArtifactStore(settings.kafka, codec, patience=PATIENT_SECONDS)
    known = {artifact.artifact_id for artifact in store.all()}
    store.close()
    missing = tuple(artifact for artifact in wanted if artifact.artifact_id not in known)
    publish(settings.kafka, codec, missing)
    return missing
