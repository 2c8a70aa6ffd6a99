"""The sanitizer as a process."""

from typing import NoReturn

from schemas.registry import make_codec
from streams.faust_runner.run import run_stateless
from streams.settings import Settings
from streams.stages.sanitize.step import Sanitize
from streams.stages.wiring import make_dependencies, stage_context


def run(settings: Settings) -> NoReturn:
    """Runs until the process is asked to stop."""
    codec = make_codec(settings)
    run_stateless(Sanitize(make_dependencies(settings, codec)), stage_context(settings, codec))
