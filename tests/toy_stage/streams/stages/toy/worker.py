"""The toy as a process."""

from datetime import timedelta
from typing import NoReturn

from streams.faust_runner.run import run_keyed
from streams.settings import Settings
from streams.stages.toy.step import Toy
from streams.stages.wiring import stage_context

WAIT = timedelta(seconds=5)


def run(settings: Settings) -> NoReturn:
    """Runs until the process is told to stop."""
    run_keyed(Toy(WAIT), stage_context(settings))
