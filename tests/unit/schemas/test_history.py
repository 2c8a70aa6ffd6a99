"""Earlier versions come out of git as they were, whatever became of the files since."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.history import NoHistory, earlier_versions

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Git in a fresh repository at `tmp_path`."""

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "tag.gpgSign=false"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of schemas below the repository's root: Outer holds Inner."""
    path = tmp_path / "package" / "schemas"
    (path / "avsc").mkdir(parents=True)
    (path / "topics").mkdir()
    (path / "topics" / "outer.yaml").write_text("record: Outer\n")
    (path / "topics" / "bytes.yaml").write_text("record: null\n")
    write(path, "Outer", [{"name": "inner", "type": "opoi.Inner"}])
    write(path, "Inner", [{"name": "a", "type": "string"}])
    return path


def write(folder: Path, name: str, fields: list[dict[str, Any]]) -> None:
    schema = {"type": "record", "namespace": "opoi", "name": name, "fields": fields}
    (folder / "avsc" / f"opoi.{name}.avsc").write_text(json.dumps(schema))


def commit(git: Git, message: str) -> str:
    git("add", "-A")
    git("commit", "-q", "--no-gpg-sign", "-m", message)
    return git("rev-parse", "--short", "HEAD")


def inner_fields(schema: dict[str, Any]) -> list[str]:
    return [field["name"] for field in schema["fields"][0]["type"]["fields"]]


def test_each_version_is_self_contained_as_of_its_commit(git: Git, folder: Path) -> None:
    first = commit(git, "one")
    write(folder, "Inner", [{"name": "a", "type": "string"}, {"name": "b", "type": "int", "default": 0}])
    second = commit(git, "two")
    write(folder, "Inner", [{"name": "c", "type": "string"}])  # not committed

    versions = earlier_versions(folder)

    assert [(v.topic, v.record, inner_fields(v.schema)) for v in versions] == [
        ("outer", "Outer", ["a", "b"]),
        ("outer", "Outer", ["a"]),
    ]
    assert [version.commit.split()[0] for version in versions] == [second, first]


def test_a_commit_that_changes_no_schema_adds_no_version(git: Git, folder: Path) -> None:
    commit(git, "one")
    (folder / "topics" / "outer.yaml").write_text("record: Outer\nowner: pipeline\n")
    commit(git, "two")

    assert len(earlier_versions(folder)) == 1


def test_a_tag_counts_that_no_branch_holds(git: Git, folder: Path) -> None:
    commit(git, "one")
    git("switch", "-q", "-c", "release")
    write(folder, "Inner", [{"name": "patched", "type": "string"}])
    commit(git, "two")
    git("tag", "v1")
    git("switch", "-q", "main")
    git("branch", "-q", "-D", "release")

    found = [inner_fields(version.schema) for version in earlier_versions(folder)]
    assert sorted(found) == [["a"], ["patched"]]


def test_a_merged_branch_counts(git: Git, folder: Path) -> None:
    commit(git, "one")
    git("switch", "-q", "-c", "side")
    write(folder, "Inner", [{"name": "side", "type": "string"}])
    commit(git, "two")
    write(folder, "Inner", [{"name": "a", "type": "string"}])
    commit(git, "back")
    git("switch", "-q", "main")
    (folder / "README").write_text("other work")
    commit(git, "three")
    git("merge", "-q", "--no-ff", "-m", "merge", "side")

    assert ["side"] in [inner_fields(version.schema) for version in earlier_versions(folder)]


def test_a_commit_that_was_never_deployed_is_left_out(git: Git, folder: Path) -> None:
    commit(git, "one")
    write(folder, "Inner", [{"name": "mistake", "type": "string"}])
    mistake = commit(git, "two")
    write(folder, "Inner", [{"name": "a", "type": "string"}])
    (folder / "never-deployed.yaml").write_text(f'"{mistake}": reverted the same day\n')
    commit(git, "three")

    assert [inner_fields(version.schema) for version in earlier_versions(folder)] == [["a"]]


def test_without_git_it_says_so(folder: Path) -> None:
    with pytest.raises(NoHistory, match="has no git history"):
        earlier_versions(folder)


def test_a_folder_that_git_does_not_track_has_no_history(git: Git, folder: Path) -> None:
    (folder.parent / "other").write_text("tracked")
    git("add", "package/other")
    git("commit", "-q", "-m", "other")

    with pytest.raises(NoHistory, match="is not tracked"):
        earlier_versions(folder)


def test_a_shallow_clone_is_not_a_whole_history(git: Git, folder: Path, tmp_path: Path) -> None:
    commit(git, "one")
    write(folder, "Inner", [{"name": "b", "type": "string"}])
    commit(git, "two")
    git("clone", "-q", "--depth", "1", f"file://{tmp_path}", str(tmp_path / "shallow"))

    with pytest.raises(NoHistory, match="git fetch --unshallow"):
        earlier_versions(tmp_path / "shallow" / "package" / "schemas")


def test_what_a_topic_had_before_anything_wrote_it_counts_for_nothing(git: Git, folder: Path) -> None:
    topic = folder / "topics" / "outer.yaml"
    commit(git, "planned")
    topic.write_text("record: Outer\nproduced: false\n")
    write(folder, "Inner", [{"name": "b", "type": "int"}])
    commit(git, "still planned")
    assert earlier_versions(folder) == []

    topic.write_text("record: Outer\n")
    write(folder, "Inner", [{"name": "c", "type": "int"}])
    written = commit(git, "written")

    [version] = earlier_versions(folder)
    assert version.commit.startswith(written)
    assert inner_fields(version.schema) == ["c"]
