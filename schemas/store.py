"""What the codec asks of a schema registry."""

from collections.abc import Collection
from typing import Any, Protocol


class SchemaStore(Protocol):
    """Schemas by id, ids by subject and schema."""

    def schema_of(self, schema_id: int) -> Any:
        """The writer's schema, any JSON value. Raises Undecodable (`unknown_schema_id`) or RegistryAway."""

    def subjects_of(self, schema_id: int) -> Collection[str] | None:
        """Every subject under which the id is or was registered; None: the registry cannot say.

        Raises RegistryAway.
        """

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """The id under which `schema` is registered. Raises NotRegistered or RegistryAway."""
