"""The folder of a one-machine stack and its content."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from streams.errors import UserError
from streams.private_files import close_to_others, own_folder
from streams.settings import STACK_FILE

LONGEST_SOCKET = 90
"""Characters of a Unix socket's path: the system allows 107, the supervisor adds its process id."""
MEBIBYTE = 1024 * 1024
LEAST_FREE = 512 * MEBIBYTE

PARTS = ("kafka", "registry", "clickhouse", "model", "ads", "state", "logs", "run")
"""Folders of a stack; `opoi reset` deletes these and `stack.env`, nothing else."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under OPOI_HOME."""

    folder: Path

    @property
    def stack_env(self) -> Path:
        """The file with the stack's addresses."""
        return self.folder / STACK_FILE

    @property
    def run(self) -> Path:
        """The supervisor's own files."""
        return self.folder / "run"

    @property
    def supervisor_config(self) -> Path:
        """The generated file that names all processes."""
        return self.run / "supervisord.conf"

    def part(self, name: str) -> Path:
        """Data of one part."""
        return self.folder / name

    def log(self, name: str) -> Path:
        """Log of one process."""
        return self.folder / "logs" / f"{name}.log"

    @property
    def socket(self) -> Path:
        """The supervisor's socket; in the user's own temporary folder if the path would be too long."""
        near = self.run / "supervisor.sock"
        if len(os.fsencode(near)) <= LONGEST_SOCKET:
            return near
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        base = os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/opoi-{os.getuid()}"
        return Path(base) / f"opoi-{name}.sock"

    def prepare(self) -> None:
        """Create the folders, for this user only. Raises `UserError` if that is impossible, or the disk is
        full."""
        try:
            for folder in (self.folder, *(self.folder / name for name in PARTS)):
                own_folder(folder)
            if self.stack_env.is_file():
                close_to_others(self.stack_env)
            probe = self.run / ".probe"
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"{error.filename or self.folder} cannot be written ({error.strerror}): "
                "set OPOI_HOME to a writable folder"
            ) from None
        free = shutil.disk_usage(self.folder).free
        if free < LEAST_FREE:
            raise UserError(
                f"{free // MEBIBYTE} MiB are free for {self.folder}; the stack needs "
                f"{LEAST_FREE // MEBIBYTE}: free some, or set OPOI_HOME to a folder on another disk"
            )
        if self.socket.parent != self.run:
            self._own(self.socket.parent)

    @staticmethod
    def _own(folder: Path) -> None:
        """A folder for the socket that no other user can enter."""
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # another user's link may lead into a folder of ours
            owners = {folder.lstat().st_uid, folder.stat().st_uid}
        except OSError as error:
            raise UserError(
                f"socket folder {folder} cannot be created ({error.strerror}): set a shorter OPOI_HOME"
            ) from None
        if owners != {os.getuid()}:
            raise UserError(f"{folder} belongs to another user: set OPOI_HOME to a shorter path")
        close_to_others(folder)

    def is_stack(self) -> bool:
        """Whether a stack was ever started here."""
        return self.stack_env.is_file() or self.supervisor_config.is_file()

    def sizes(self) -> dict[str, int]:
        """Bytes on disk by part."""
        return {name: size_of(self.folder / name) for name in PARTS if (self.folder / name).is_dir()}

    def delete(self) -> None:
        """Delete all data of the stack, and the folder if nothing else is in it."""
        for name in PARTS:
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
        self.stack_env.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def size_of(folder: Path) -> int:
    """Bytes that the files under `folder` occupy on disk; files may vanish while they are counted."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                # sparse files, Kafka's indexes, occupy less than their length
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
