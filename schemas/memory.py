"""A schema registry in memory, for tests, benchmarks and experiments."""

from collections import defaultdict
from typing import Any, Self

from schemas.catalog import plain_schema, topics
from schemas.codec import SubjectNames
from schemas.compat import incompatibilities
from schemas.errors import DeployRefused, NotRegistered, Undecodable
from schemas.identity import content_hash


class MemoryStore:
    """A `SchemaStore` that keeps the compatibility BACKWARD_TRANSITIVE, as the deployed registry does.

    An id follows from the schema's content, so that bytes are the same in every process.
    """

    def __init__(self) -> None:
        self._schemas: dict[int, dict[str, Any]] = {}
        self._subjects: dict[str, list[int]] = defaultdict(list)

    @classmethod
    def whole(cls) -> Self:
        """A store in which the schema of every topic of the catalog is registered."""
        store = cls()
        subject_of = SubjectNames({})
        for spec in topics().values():
            if spec.record is not None:
                store.register(subject_of(spec.name), plain_schema(spec.record))
        return store

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of `schema`. Raises DeployRefused where it cannot read an earlier version of the subject."""
        schema_id = _id(schema)
        if schema_id in self._subjects[subject]:
            return schema_id
        for earlier in self._subjects[subject]:
            if problems := incompatibilities(schema, self._schemas[earlier]):
                raise DeployRefused(f"{subject}: {problems[0]} (against schema {earlier})")
        self._schemas[schema_id] = schema
        self._subjects[subject].append(schema_id)
        return schema_id

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """See `SchemaStore.schema_of`."""
        if schema_id not in self._schemas:
            raise Undecodable("unknown_schema_id", f"there is no schema {schema_id}")
        return self._schemas[schema_id]

    def subjects_of(self, schema_id: int) -> list[str]:
        """See `SchemaStore.subjects_of`."""
        return [subject for subject, ids in self._subjects.items() if schema_id in ids]

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """See `SchemaStore.id_of`."""
        schema_id = _id(schema)
        if schema_id not in self._subjects.get(subject, []):
            raise NotRegistered(f"subject {subject!r} lacks this version's schema")
        return schema_id


def _id(schema: dict[str, Any]) -> int:
    """31 bits of the content's hash: every registry's ids are positive 32-bit integers."""
    return int(content_hash(schema)[:8], 16) >> 1
