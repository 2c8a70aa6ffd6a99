"""Bytes that any version wrote are read by this one; bytes of this version do not change unseen."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import examples as example_files
from schemas.catalog import EXAMPLES
from schemas.codec import Codec
from schemas.examples import examples
from scripts.generated import run
from tests.contract import golden, golden_rows
from tests.contract.golden import GOLDEN, Dump, as_json, current, current_version, stored


class OneSchema:
    """A store that knows the schema of one dump."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        assert schema_id == self._dump.schema_id
        return self._dump.schema

    def subjects_of(self, schema_id: int) -> list[str]:
        return [f"{self._dump.topic}-value"]

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        assert subject == f"{self._dump.topic}-value"
        assert schema == self._dump.schema
        return self._dump.schema_id


VERSIONS = sorted({version for dump in stored() for version in dump.versions})


def of_version(version: str) -> list[Dump]:
    """What a version wrote, a dump for each topic."""
    found = [dump for dump in stored() if version in dump.versions]
    assert len({dump.topic for dump in found}) == len(found) > 0
    return found


def holds(new: Any, old: Any) -> bool:
    """Whether everything in `old` that still has a field stands unchanged in `new`."""
    if isinstance(old, dict):
        return all(holds(new[key], value) for key, value in old.items() if key in new)
    if isinstance(old, list):
        return len(new) == len(old) and all(map(holds, new, old))
    return bool(new == old)


def test_nothing_that_a_release_wrote_is_missing() -> None:
    kept = {version: len(of_version(version)) for version in VERSIONS}

    for version, count in {"0.1.0": 16, "0.2.0": 18, "0.2.1": 18}.items():
        assert kept[version] >= count


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_read(version: str) -> None:
    for dump in of_version(version):
        codec = Codec(OneSchema(dump))

        read = [codec.decode(dump.topic, value) for value in dump.values]

        assert read, dump.topic
        for record, then in zip(read, dump.records, strict=True):
            assert holds(as_json(record.model_dump()), then), dump.topic


def test_this_versions_bytes_are_those_of_its_examples() -> None:
    for dump in of_version(current_version()):
        codec = Codec(OneSchema(dump))

        assert tuple(codec.decode(dump.topic, value) for value in dump.values) == examples(dump.topic)
        assert tuple(codec.encode(dump.topic, record) for record in examples(dump.topic)) == dump.values


def test_this_versions_dumps_are_whole() -> None:
    kept = {dump.topic: dump.schema for dump in of_version(current_version())}

    assert kept == {dump.topic: dump.schema for dump in current()}, "run `make generate`"


def test_a_new_version_changes_nothing_of_the_earlier_ones(tmp_path: Path) -> None:
    [dump] = [dump for dump in current() if dump.topic == "opoi.ticks.join"]
    path = tmp_path / "opoi.ticks.join.jsonl"
    path.write_text(next(GOLDEN.glob(path.name)).read_text())
    [before] = path.read_text().splitlines()
    other = replace(dump, versions=("9.1.0",), schema_id=7)

    path.write_text(golden.wanted_text(path, "9.0.0", replace(dump, versions=("9.0.0",))))
    path.write_text(golden.wanted_text(path, "9.1.0", other))

    same, new = path.read_text().splitlines()
    assert same == before.replace(f'"{current_version()}"]', f'"{current_version()}","9.0.0"]')
    assert Dump.of_line(dump.topic, new) == other
    path.write_text(golden.wanted_text(path, "9.1.0", None))
    path.write_text(golden.wanted_text(path, "9.0.0", None))
    assert path.read_text() == f"{before}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the golden files."""
    made = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    monkeypatch.setattr(golden, "GOLDEN", made)
    monkeypatch.setattr(golden, "AGENT", made / golden.AGENT.name)
    return made


@pytest.mark.parametrize("released", [False, True])
def test_a_file_of_a_topic_that_no_release_had_is_deleted(
    folder: Path, released: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "is_released", lambda version: released)
    [dump] = [dump for dump in current() if dump.topic == "opoi.ticks.join"]
    orphan, old = folder / "opoi.gone.jsonl", folder / "opoi.old.jsonl"
    orphan.write_text(f"{replace(dump, versions=('9.1.0',)).line()}\n")
    old.write_text(f"{replace(dump, versions=('0.2.0', '9.1.0')).line()}\n")

    assert golden.main(["--check"]) == 3
    said = capsys.readouterr().err
    assert f"{orphan} is stale" in said
    assert f"{old} is stale" in said
    assert golden.main([]) == 0
    assert golden.main(["--check"]) == 0
    assert not orphan.exists()
    assert Dump.of_line(dump.topic, old.read_text()) == replace(dump, versions=("0.2.0",))


def test_what_a_release_wrote_is_not_written_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "current_version", lambda: "7.2.1")
    monkeypatch.setattr(golden, "is_released", lambda version: False)
    assert golden.main([]) == 0
    monkeypatch.setattr(golden, "is_released", lambda version: True)
    assert golden.main([]) == 0
    ticks = folder / "opoi.ticks.join.jsonl"
    wrote = ticks.read_text()

    ticks.write_text(other := wrote.replace('"schema_id":1', '"schema_id":2'))
    assert golden.main([]) == 1
    raised = "raise the version in pyproject.toml and clients/python/pyproject.toml to 7.3.0"
    said = capsys.readouterr().err
    assert said.startswith(
        f"opoi.ticks.join.jsonl: this is not what 7.2.1 wrote, which is released: {raised}"
    )
    assert ticks.read_text() == other

    ticks.unlink()
    assert golden.main([]) == 1
    said = capsys.readouterr().err
    assert f"write `produced: false` into the YAML of a topic that only others write, or {raised}" in said
    assert not ticks.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file or directory"),
        ("[{", "Expecting property name"),
        ("[]", "it has no entry"),
        ("[{}]", "an entry has no 'record'"),
        ('[{"about": "x", "record": {"agent": 1}}]', "agent: Input should be a valid string"),
        ('[{"about": "x", "record": {"$framed": "opoi.nothing/0"}}]', "no topic 'opoi.nothing'"),
    ],
)
@pytest.mark.parametrize("main", [golden.main, lambda given: run(golden_rows.wanted, given)])
def test_a_wrong_example_is_one_line_and_an_exit_code(
    text: str | None,
    says: str,
    main: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(golden, "examples", examples.__wrapped__)
    monkeypatch.setattr(golden_rows, "examples", examples.__wrapped__)
    monkeypatch.setattr(golden, "framed_examples", lambda topic: (b"\0" * 5,))
    monkeypatch.setattr(example_files, "EXAMPLES", tmp_path)
    for path in EXAMPLES.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    wrong = tmp_path / "opoi.spending.json"
    wrong.unlink() if text is None else wrong.write_text(text)

    assert main(["--check"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


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
