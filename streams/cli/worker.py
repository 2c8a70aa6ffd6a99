"""`opoi worker STAGE`: one worker of one stage, in the foreground."""

import sys
from pkgutil import resolve_name
from typing import Annotated

import typer
from pydantic import ValidationError

from streams.errors import UserError
from streams.runtime.supervisor import AlreadyRuns, WorkerFolders, supervise
from streams.settings import Settings, WorkerSettings, load_settings
from streams.stages import STAGES


def worker(
    stage: Annotated[str, typer.Argument(help=f"One of {', '.join(STAGES)}.")],
    name: Annotated[
        str | None, typer.Option(help="Name of this worker, unique within its stage on this machine.")
    ] = None,
) -> None:
    """Run one worker of one stage until it is stopped.

    Several workers of a stage share its partitions. Example usage: `opoi worker join --name 2`.
    """
    if stage not in STAGES:
        raise UserError(f"there is no stage {stage!r}; stages: {', '.join(STAGES)}")
    settings = _settings(name)

    def work() -> None:
        # imported in the child only: the parent, which records how the child ends, stays small
        resolve_name(STAGES[stage])(settings)

    folders = WorkerFolders(settings.home, stage, settings.worker.name)
    try:
        sys.exit(supervise(folders, work, settings.worker.stop_seconds))
    except AlreadyRuns as error:
        raise UserError(str(error)) from error


def _settings(name: str | None) -> Settings:
    settings = load_settings()
    if name is None:
        return settings
    try:
        # a copy with another name would skip the check
        worker = WorkerSettings.model_validate({**settings.worker.model_dump(), "name": name})
    except ValidationError as error:
        rule = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"--name {name!r}: {rule}") from None
    return settings.model_copy(update={"worker": worker})
