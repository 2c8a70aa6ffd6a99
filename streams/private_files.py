"""Folders and files that other users of the machine cannot read."""

import os
import stat
from pathlib import Path


def own_folder(folder: Path) -> None:
    """Creates `folder` for this user only; closes an existing one to others. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    close_to_others(folder)


def close_to_others(path: Path) -> None:
    """Removes the rights of group and others to `path`. Raises OSError.

    A path of another user, or a folder that is meant for everyone (/tmp), stays as it is.
    """
    found = path.stat()
    if found.st_uid == os.getuid() and not found.st_mode & stat.S_ISVTX and found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)
