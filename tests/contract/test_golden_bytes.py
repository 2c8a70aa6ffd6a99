"""Bytes that any version wrote are read by this one; bytes of this version do not change unseen."""

from typing import Any

import pytest

from schemas.codec import Codec
from schemas.examples import examples
from tests.contract.golden import Dump, as_json, current, current_version, stored


class OneSchema:
    """A store that knows the schema of one dump."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        assert schema_id == self._dump.schema_id
        return self._dump.schema

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        assert subject == f"{self._dump.topic}-value"
        assert schema == self._dump.schema
        return self._dump.schema_id


def named(dump: Dump) -> str:
    return f"{dump.version}/{dump.topic}"


def holds(new: Any, old: Any) -> bool:
    """Whether everything in `old` that still has a field stands unchanged in `new`."""
    if isinstance(old, dict):
        return all(holds(new[key], value) for key, value in old.items() if key in new)
    if isinstance(old, list):
        return len(new) == len(old) and all(map(holds, new, old))
    return bool(new == old)


@pytest.mark.parametrize("dump", list(stored()), ids=named)
def test_every_version_is_read(dump: Dump) -> None:
    codec = Codec(OneSchema(dump))

    read = [codec.decode(dump.topic, value) for value in dump.values]

    assert read
    for record, then in zip(read, dump.records, strict=True):
        assert holds(as_json(record.model_dump()), then)


@pytest.mark.parametrize("dump", [dump for dump in stored() if dump.version == current_version()], ids=named)
def test_this_versions_bytes_are_those_of_its_examples(dump: Dump) -> None:
    codec = Codec(OneSchema(dump))

    assert tuple(codec.decode(dump.topic, value) for value in dump.values) == examples(dump.topic)
    assert tuple(codec.encode(dump.topic, record) for record in examples(dump.topic)) == dump.values


def test_this_versions_folder_is_whole() -> None:
    kept = {dump.path: dump.schema for dump in stored() if dump.version == current_version()}

    assert kept == {dump.path: dump.schema for dump in current()}, "run `make golden`"


@pytest.mark.parametrize(
    ("new", "old", "kept"),
    [
        ({"a": 1, "b": None}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "gone": 2}, True),
        ({"a": 2}, {"a": 1}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
    ],
)
def test_a_changed_value_is_seen(new: Any, old: Any, kept: bool) -> None:
    assert holds(new, old) is kept
