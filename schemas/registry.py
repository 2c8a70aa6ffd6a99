"""The schema registry, as much of it as the codec needs, over its Confluent API."""

import json
from typing import Any, Protocol

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from schemas.errors import NotRegistered, RegistryAway, Undecodable
from schemas.settings import RegistrySettings

# Confluent's codes for "there is no such subject, version or schema"
_UNKNOWN = {40401, 40402, 40403}


class SchemaStore(Protocol):
    """What the codec asks of a registry."""

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """The writer's schema. Raises Undecodable (`unknown_schema_id`) or RegistryAway."""

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """The id under which `schema` is registered. Raises NotRegistered or RegistryAway."""


def _is_unknown(error: SchemaRegistryError) -> bool:
    return error.error_code in _UNKNOWN or (error.http_status_code == 404 and error.error_code in (404, -1))


class ConfluentRegistry:
    """A registry with the Confluent API. Thread-safe; caches nothing (the codec does)."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._url = settings.url
        self.client = SchemaRegistryClient({**settings.client_config(), "timeout": 5, "max.retries": 1})

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """See `SchemaStore.schema_of`."""
        try:
            found = self.client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if _is_unknown(error):
                raise Undecodable(
                    "unknown_schema_id", f"the registry {self._url} has no schema {schema_id}"
                ) from error
            raise self._away(error) from error
        except Exception as error:
            raise self._transport(error) from error
        assert found.schema_str is not None
        parsed = json.loads(found.schema_str)
        if found.schema_type != "AVRO" or not isinstance(parsed, dict):
            raise Undecodable(
                "wrong_record", f"schema {schema_id} is {found.schema_type}, not an Avro record"
            )
        return parsed

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """See `SchemaStore.id_of`."""
        try:
            found = self.client.lookup_schema(subject, Schema(json.dumps(schema), "AVRO"))
        except SchemaRegistryError as error:
            if _is_unknown(error):
                raise NotRegistered(
                    f"subject {subject!r} at {self._url} lacks this version's schema; "
                    "run `opoi schemas apply`"
                ) from error
            raise self._away(error) from error
        except Exception as error:
            raise self._transport(error) from error
        assert found.schema_id is not None
        return found.schema_id

    def _away(self, error: SchemaRegistryError) -> RegistryAway:
        return RegistryAway(f"registry {self._url} answered {error.http_status_code}: {error}")

    def _transport(self, error: Exception) -> Exception:
        """RegistryAway for what the network did; anything else as it is."""
        module = type(error).__module__.partition(".")[0]
        if isinstance(error, OSError) or module in ("httpx", "httpx2", "httpcore", "httpcore2"):
            return RegistryAway(f"registry {self._url} does not answer: {str(error) or type(error).__name__}")
        return error
