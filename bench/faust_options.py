"""What the benchmarks of the Faust runner share: a broker, options, and the table of a soak."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from local_stack.kafka import Broker
from testkit.faust.recovery import HEADER, Result


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options of the broker."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--bootstrap", help="a broker that runs already")
    made.add_argument("--port", type=int, default=22100, help="port of the broker that is started else")
    return made


def soak_parser(about: str | None, seeds: list[int]) -> argparse.ArgumentParser:
    """Those of a soak, too."""
    made = parser(about)
    made.add_argument("--seeds", type=int, nargs="+", default=seeds)
    made.add_argument("--unsafe", default="", help="repairs to leave out")
    made.add_argument("--expect-loss", action="store_true", help="exit code 3 where nothing was lost")
    return made


@contextmanager
def bed(given: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """host:port of the broker, and a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="opoi-bench-") as name:
        folder = Path(name)
        if given.bootstrap:
            yield given.bootstrap, folder
            return
        with Broker(folder / "kafka", given.port, given.port + 1) as broker:
            yield broker.bootstrap, folder


def print_soaks(given: argparse.Namespace, what: str, soak: Callable[[str, Path, int], Result]) -> NoReturn:
    """A row for each seed; exit code 3 where something was lost, with --expect-loss where nothing was."""
    with bed(given) as (bootstrap, folder):
        print(what)
        print(HEADER)
        lost = 0
        for seed in given.seeds:
            result = soak(bootstrap, folder, seed)
            print(result.row(), flush=True)
            lost += result.losses
    raise SystemExit(0 if bool(lost) is given.expect_loss else 3)
