"""The join as a process."""

from datetime import timedelta
from typing import NoReturn

from streams.faust_runner.run import run_keyed
from streams.settings import Settings
from streams.stages.join.step import Join, JoinRules
from streams.stages.wiring import stage_context


def run(settings: Settings) -> NoReturn:
    """Runs until the process is asked to stop."""
    pipeline = settings.pipeline
    rules = JoinRules(
        verdict_wait=timedelta(days=pipeline.verdict_wait_days),
        decision_wait=timedelta(hours=pipeline.decision_wait_hours),
        horizon=timedelta(days=pipeline.horizon_days),
    )
    run_keyed(Join(rules), stage_context(settings))
