"""The sanitizer as a process."""

from typing import NoReturn

from schemas.registry import make_codec
from streams.processors.run import run_stateless
from streams.processors.surroundings import make_ports, surroundings
from streams.settings import Settings
from streams.steps.sanitize import Sanitize


def run(settings: Settings) -> NoReturn:
    """Runs until the process is told to stop."""
    codec = make_codec(settings)
    run_stateless(Sanitize(make_ports(settings, codec)), surroundings(settings, codec))
