"""Processes of a stack whose supervisor is gone.

Every process of a stack has the stack's folder in its environment. So this module finds exactly those,
whatever their pid, and nothing that a user started by hand.
"""

import os
from pathlib import Path

import psutil

from local_stack.supervise import MARK


def find(folder: Path) -> list[psutil.Process]:
    """All processes of the stack at `folder`, its supervisor too; never this one or its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process for process in psutil.process_iter() if process.pid not in own and _belongs(process, folder)
    ]


def end(folder: Path, patience: float = 10) -> list[str]:
    """End them with SIGTERM, after `patience` seconds with SIGKILL. Returns one line for each."""
    found = find(folder)
    lines = [
        f"ended a leftover of an earlier run: process {process.pid} ({_name(process)})" for process in found
    ]
    for process in found:
        _signal(process.terminate)
    _, alive = psutil.wait_procs(found, timeout=patience)
    for process in alive:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=patience)
    return lines


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder)
    except (psutil.Error, OSError):
        # another user's process, or one that just ended
        return False


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[-60:]
    except psutil.Error:
        return "already gone"


def _signal(send: object) -> None:
    assert callable(send)
    try:
        send()
    except psutil.NoSuchProcess:
        return
