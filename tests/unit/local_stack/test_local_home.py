"""The folder of a stack."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
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
    with pytest.raises(UserError, match=r"100 MiB are free for .*; the stack needs 512: free some") as caught:
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


def mode(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _open_to_all() -> Iterator[None]:
    """A process whose files everyone may read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_to_all")
def test_a_home_is_made_for_its_user_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    assert {mode(home.folder), *(mode(home.part(name)) for name in PARTS)} == {0o700}


@pytest.mark.usefixtures("_open_to_all")
def test_a_home_of_an_older_version_is_closed_with_what_is_secret_in_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (home.folder / "kafka").mkdir(parents=True)
    home.stack_env.write_text("OPOI_REPLAY__ORACLE_SECRET=s")
    home.prepare()
    assert {mode(home.folder), mode(home.part("kafka"))} == {0o700}
    assert mode(home.stack_env) == 0o600


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it, however tests are run."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_folder_that_is_everyones_or_anothers_keeps_its_rights(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, foreign = short_path / "shared", short_path / "foreign"
    for folder, rights in ((shared, 0o1777), (foreign, 0o755)):
        folder.mkdir()
        folder.chmod(rights)
    Home(shared).prepare()
    assert mode(shared) == 0o1777
    assert mode(shared / "state") == 0o700
    monkeypatch.setattr(os, "getuid", lambda: foreign.stat().st_uid + 1)
    Home(foreign).prepare()
    assert mode(foreign) == 0o755


def test_a_socket_is_not_put_into_a_folder_that_others_see_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir(mode=0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    deep = Home(tmp_path / ("x" * LONGEST_SOCKET))
    deep.prepare()
    assert mode(sockets) == 0o700
    monkeypatch.setattr(os, "getuid", lambda: sockets.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user: set OPOI_HOME to a shorter path"):
        deep.prepare()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file" / "x"))
    with pytest.raises(UserError, match=r"socket folder .* cannot be created \(Not a directory\)"):
        deep.prepare()


def test_parts_are_folders_of_their_own() -> None:
    assert len(set(PARTS)) == len(PARTS)
