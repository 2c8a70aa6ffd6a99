"""A one-machine stack for tests, on its own folder and free ports."""

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import stack
from local_stack.home import Home
from local_stack.kafka import Broker
from local_stack.ports import from_base, in_use
from local_stack.processes import WORKERS
from local_stack.progress import Lines
from streams.runtime.exit_codes import ExitCode
from streams.settings import Settings

_ENDED = re.compile(r"exited: (?P<name>\w+) \(exit status (?P<code>\d+);")
MAY_END = {ExitCode.PRODUCE_FAILED, ExitCode.CONTIGUITY, ExitCode.WATCHDOG, ExitCode.EXPELLED}
"""How docs/faust.md has a worker end without a fault of its own, its records' or its settings'."""


def worker_ends(home: Home) -> list[tuple[str, int]]:
    """Workers of a stack that ended by themselves, and their exit codes."""
    log = home.log("supervisor").read_text()
    return [(found["name"], int(found["code"])) for found in _ENDED.finditer(log) if found["name"] in WORKERS]


@dataclass(frozen=True)
class RunningStack:
    """A stack that runs; `env` leads a subprocess to it."""

    home: Home
    settings: Settings

    @property
    def env(self) -> dict[str, str]:
        """The environment with OPOI_HOME set."""
        return environment(self.home.folder)


def environment(folder: Path) -> dict[str, str]:
    """An environment in which `opoi` means the stack at `folder`."""
    return {**os.environ, "OPOI_HOME": str(folder)}


def free_base() -> int:
    """A first port after which all ports of a stack are free; below the system's ephemeral ones."""
    chooser = random.SystemRandom()
    for _ in range(200):
        base = chooser.randrange(28_000, 32_000, 40)
        if not any(in_use(port) for port in from_base(base).values()):
            return base
    raise RuntimeError("no free block of ports between 28000 and 32000")


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker alone, with its data in `folder`, on free ports that are its own while it restarts."""
    chooser = random.SystemRandom()
    port, controller = [one for one in chooser.sample(range(25_000, 28_000), 20) if not in_use(one)][:2]
    with Broker(folder, port, controller) as broker:
        yield broker


@contextmanager
def running_stack(folder: Path, *, workers: bool = False) -> Iterator[RunningStack]:
    """A stack on `folder`, stopped at the end."""
    home = Home(folder)
    started = stack.up(home, Lines(), workers=workers, port_base=free_base())
    try:
        yield RunningStack(home, started.settings)
    finally:
        stack.down(home, Lines())
