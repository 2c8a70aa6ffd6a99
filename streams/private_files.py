"""Folders and files that other users of the machine do not see into."""

import os
import stat
from pathlib import Path


def own_folder(folder: Path) -> None:
    """Make `folder` for this user alone; one that is there is closed to others. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    close_to_others(folder)


def close_to_others(path: Path) -> None:
    """Take group's and others' rights to `path` away. Raises OSError.

    What belongs to another user stays as it is, and so does a folder that is meant for everyone (/tmp).
    """
    found = path.stat()
    if found.st_uid == os.getuid() and not found.st_mode & stat.S_ISVTX and found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)
