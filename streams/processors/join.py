"""The join as a process."""

from datetime import timedelta
from typing import NoReturn

from streams.processors.run import run_keyed
from streams.processors.surroundings import surroundings
from streams.settings import Settings
from streams.steps.join import Join, JoinRules


def run(settings: Settings) -> NoReturn:
    """Runs until the process is told to stop."""
    pipeline = settings.pipeline
    rules = JoinRules(
        verdict_wait=timedelta(days=pipeline.verdict_wait_days),
        decision_wait=timedelta(hours=pipeline.decision_wait_hours),
        horizon=timedelta(days=pipeline.horizon_days),
    )
    run_keyed(Join(rules), surroundings(settings))
