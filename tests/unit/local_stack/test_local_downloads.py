"""Fetching what is not a Python package; nothing here reaches the network."""

import errno
import socket
from pathlib import Path

import pytest

from local_stack import downloads
from local_stack.downloads import KAFKA, Artifact, cache_folder, digest, fetch
from local_stack.java import find_java, java_version
from streams.errors import UserError
from tests.unit.local_stack.said import Said


def jars(tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that gives two files."""

    def download(_: Artifact, repository: Path, *__: object) -> list[Path]:
        repository.mkdir(parents=True)
        files = [repository / "one.jar", repository / "two.jar"]
        for file in files:
            file.write_text(file.name)
        return files

    monkeypatch.setattr(downloads, "_download", download)


def small(tmp_path: Path) -> Artifact:
    """An artifact of two files with the digest that they have."""
    files = [tmp_path / "one.jar", tmp_path / "two.jar"]
    for file in files:
        file.write_text(file.name)
    return Artifact("Two jars", "two-1.0", (("g", "a", "1.0"),), 1, digest(files))


def test_a_fetched_artifact_is_a_folder_and_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = small(tmp_path)
    jars(tmp_path, artifact, monkeypatch)
    said = Said()
    folder = fetch(artifact, tmp_path / "cache", said)
    assert sorted(path.name for path in folder.iterdir()) == ["one.jar", "two.jar"]
    assert said.lines[0] == "downloading Two jars (1 MB, once)"
    assert said.lines[1].startswith("downloaded Two jars: 0 MB in ")
    assert fetch(artifact, tmp_path / "cache", said) == folder
    assert len(said.lines) == 2


def test_what_is_not_the_tested_release_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = small(tmp_path)
    jars(tmp_path, artifact, monkeypatch)
    wrong = Artifact(artifact.title, artifact.folder, artifact.coordinates, 1, "0" * 64)
    with pytest.raises(UserError, match="is damaged or not the tested release"):
        fetch(wrong, tmp_path / "cache", Said())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UserError) as caught:
        fetch(KAFKA, tmp_path, Said(), nowhere)
    told = caught.value.message
    assert told.startswith("Apache Kafka 4.3.1 (44 MB) cannot be downloaded (ConnectionError)")
    assert f"copy kafka-4.3.1 into {tmp_path}" in told
    assert "\n" not in told
    assert caught.value.exit_code == 2


def test_a_mirror_that_lacks_the_file_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object) -> list[Path]:
        raise RuntimeError("not found in:\n  mirror")

    monkeypatch.setattr(downloads, "_download", download)
    with pytest.raises(UserError) as caught:
        fetch(KAFKA, tmp_path, Said(), "http://mirror")
    assert caught.value.message == (
        "Apache Kafka 4.3.1 cannot be downloaded from http://mirror (not found in: mirror): "
        f"set OPOI_MAVEN_URL to a mirror that has it, or copy kafka-4.3.1 into {tmp_path}"
    )
    assert caught.value.exit_code == 2


def test_a_full_cache_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object) -> list[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_download", download)
    with pytest.raises(UserError, match="are free: free some, or set OPOI_CACHE") as caught:
        fetch(KAFKA, tmp_path, Said())
    assert caught.value.exit_code == 2


def test_the_cache_is_the_users_and_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "opoi"
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"


def fake_java(tmp_path: Path, version: str) -> Path:
    """A program that says it is Java `version`."""
    java = tmp_path / f"java-{version}"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return java


def test_java_is_the_chosen_one_where_it_is_new_enough(tmp_path: Path) -> None:
    new = fake_java(tmp_path, "21.0.2")
    assert java_version(new) == 21
    assert find_java(new) == new
    with pytest.raises(UserError, match=r"OPOI_JAVA=.*/java-17.0.1 is Java 17; it must be Java 21 or newer"):
        find_java(fake_java(tmp_path, "17.0.1"))
    with pytest.raises(UserError, match=r"OPOI_JAVA=/no/such/java is no Java runtime"):
        find_java(Path("/no/such/java"))


def test_an_old_java_of_the_system_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_java(tmp_path, "17.0.1").rename(tmp_path / "java")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java(None) != old
    new = fake_java(tmp_path, "25")
    new.rename(tmp_path / "java")
    assert find_java(None) == tmp_path / "java"
