"""The folder of a stack."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from local_stack.home import LONGEST_SOCKET, PARTS, Home, size_of
from streams.errors import UserError


def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = Home(Path("/tmp") / ("x" * 80) / ("y" * 80))
    other = Home(Path("/tmp") / ("x" * 80) / ("z" * 80))
    assert len(str(deep.socket)) <= LONGEST_SOCKET + len(str(tmp_path))
    assert deep.socket.parent == tmp_path
    assert deep.socket != other.socket
    near = Home(Path("/tmp/short"))
    assert near.socket == near.run / "supervisor.sock"


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        Home(tmp_path / "file" / "home").prepare()
    assert "cannot be written (Not a directory): set OPOI_HOME" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * 1024 * 1024))
    with pytest.raises(UserError, match=r"100 MiB are free for .*, the stack needs 512: free some") as caught:
        Home(tmp_path).prepare()
    assert caught.value.exit_code == 2


def test_deleting_takes_the_stack_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.stack_env.write_text("")
    (home.part("kafka") / "data").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    home.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_without_a_stack_is_not_one(tmp_path: Path) -> None:
    assert not Home(tmp_path).is_stack()


def test_size_is_what_the_disk_holds_not_what_files_pretend(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        os.truncate(file.fileno(), 100 * 1024 * 1024)
    (tmp_path / "real").write_bytes(b"x" * 100_000)
    assert 100_000 <= size_of(tmp_path) < 1_000_000


def test_parts_are_folders_of_their_own() -> None:
    assert len(set(PARTS)) == len(PARTS)
