"""What the codec asks of a schema registry."""

from typing import Any, Protocol


class SchemaStore(Protocol):
    """Schemas by id, ids by subject and schema."""

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """The writer's schema. Raises Undecodable (`unknown_schema_id`) or RegistryAway."""

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """The id under which `schema` is registered. Raises NotRegistered or RegistryAway."""
