"""The schema registry over its Confluent API: what the codec and deploying need of it."""

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from schemas.codec import Codec, SubjectNames
from schemas.deployment import WireSettings
from schemas.errors import DeployRefused, NotRegistered, RegistryAway, Undecodable
from schemas.settings import RegistrySettings
from schemas.store import SchemaStore as SchemaStore

# Confluent's codes for "there is no such subject, version or schema"; a bare 404 is a wrong address
_UNKNOWN = {40401, 40402, 40403}
# and for "this subject has no compatibility of its own"
_NO_COMPATIBILITY = 40408
_INCOMPATIBLE = 409


class ConfluentRegistry:
    """A registry with the Confluent API. Thread-safe; caches nothing (the codec does).

    Its connections close with it.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._url = settings.url
        self.client = SchemaRegistryClient({**settings.client_config(), "max.retries": 1})
        weakref.finalize(self, self.client.close)

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """See `SchemaStore.schema_of`."""
        with self._answering():
            try:
                found = self.client.get_schema(schema_id)
            except SchemaRegistryError as error:
                if error.error_code in _UNKNOWN:
                    raise Undecodable(
                        "unknown_schema_id", f"the registry {self._url} has no schema {schema_id}"
                    ) from error
                raise
        parsed = _avro(found)
        if parsed is None:
            raise Undecodable(
                "wrong_record", f"schema {schema_id} is {found.schema_type}, not an Avro record"
            )
        return parsed

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """See `SchemaStore.id_of`."""
        with self._answering():
            try:
                found = self.client.lookup_schema(subject, _text(schema))
            except SchemaRegistryError as error:
                if error.error_code in _UNKNOWN:
                    raise NotRegistered(
                        f"subject {subject!r} at {self._url} lacks this version's schema; "
                        "run `opoi schemas apply`"
                    ) from error
                raise
        assert found.schema_id is not None
        return found.schema_id

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of `schema`, registered now. Raises DeployRefused (incompatible) or RegistryAway."""
        with self._answering():
            try:
                return self.client.register_schema(subject, _text(schema))
            except SchemaRegistryError as error:
                if error.http_status_code == _INCOMPATIBLE:
                    raise DeployRefused(str(error.error_message)) from error
                raise

    def schemas_of(self, subject: str) -> list[tuple[str, dict[str, Any]]]:
        """Every version of a subject, "version N" and its schema, oldest first. Raises RegistryAway."""
        with self._answering():
            try:
                numbers = self.client.get_versions(subject)
            except SchemaRegistryError as error:
                if error.error_code in _UNKNOWN:
                    return []
                raise
            found = [(number, self.client.get_version(subject, number).schema) for number in numbers]
        return [(f"version {number}", parsed) for number, schema in found if (parsed := _avro(schema))]

    def compatibility(self, subject: str) -> str | None:
        """The compatibility stated for the subject itself; None: none. Raises RegistryAway."""
        with self._answering():
            try:
                return self.client.get_compatibility(subject)
            except SchemaRegistryError as error:
                if error.error_code in {*_UNKNOWN, _NO_COMPATIBILITY}:
                    return None
                raise

    def set_compatibility(self, subject: str, level: str) -> None:
        """States the subject's compatibility, before or after its first version. Raises RegistryAway."""
        with self._answering():
            self.client.set_compatibility(subject, level)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """RegistryAway for what the network did and for answers that say nothing about the question."""
        try:
            yield
        except SchemaRegistryError as error:
            raise RegistryAway(
                f"registry {self._url} answered {error.http_status_code}: {error.error_message}"
            ) from error
        except Exception as error:
            # the client's HTTP library is its own choice, and not imported here
            module = type(error).__module__.partition(".")[0]
            if isinstance(error, OSError) or module in ("httpx", "httpx2", "httpcore", "httpcore2"):
                raise RegistryAway(
                    f"registry {self._url} does not answer: {str(error) or type(error).__name__}"
                ) from error
            raise


def _text(schema: dict[str, Any]) -> Schema:
    # Apicurio 3.3 refuses a schema in which the four characters "{}" stand; escaped, it is the same JSON
    return Schema(json.dumps(schema).replace('"{}"', r'"\u007b\u007d"'), "AVRO")


def _avro(found: Schema | None) -> dict[str, Any] | None:
    """The Avro record in a registry's answer; None where it is something else."""
    if found is None or found.schema_str is None or found.schema_type != "AVRO":
        return None
    parsed = json.loads(found.schema_str)
    return parsed if isinstance(parsed, dict) else None


def make_codec(settings: WireSettings) -> Codec:
    """The codec over the settings' registry."""
    return Codec(ConfluentRegistry(settings.registry), SubjectNames(settings.kafka.topic_names))
