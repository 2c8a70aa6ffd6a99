"""The replay worker: `opoi worker replay`.

A parent keeps the worker and counts how it dies (`streams.runtime.supervisor`), so that a record that kills
it again and again ends in the dead letters.
"""

import sys
from typing import NoReturn

from streams.runtime.model_runs.limits import DRAIN_SECONDS
from streams.runtime.supervisor import Folders, keep
from streams.settings import Settings

STAGE = "replay"
STOP_SECONDS = DRAIN_SECONDS + 7
"""After so long a worker that was told to stop is killed; nothing is lost by it."""


def run(settings: Settings) -> NoReturn:
    """Runs until the process is told to stop; exits with a code of `streams.runtime.exit_codes`.

    Raises AlreadyRuns where a worker of that name runs already.
    """
    folders = Folders(settings.home, STAGE, settings.worker.name)

    def work() -> None:
        # imported in the child alone: the parent stays small
        from schemas.registry import make_codec
        from streams.stages.replay.process import agent_of, work_until_stopped

        codec = make_codec(settings)
        work_until_stopped(settings, folders, codec, agent_of(settings, codec), DRAIN_SECONDS)

    sys.exit(keep(folders, work, STOP_SECONDS))
