"""The trigger as a process."""

from datetime import timedelta
from typing import NoReturn

from agent.settings import MICROS_PER_CENT
from schemas.records import Budget
from schemas.registry import make_codec
from streams.core.budgets import Allowance
from streams.faust_runner.run import run_keyed
from streams.settings import Settings
from streams.stages.trigger.control_sample import ControlRules
from streams.stages.trigger.next_action import TriggerRules
from streams.stages.trigger.step import Trigger
from streams.stages.wiring import make_dependencies, stage_context


def run(settings: Settings) -> NoReturn:
    """Runs until the process is asked to stop."""
    pipeline, replay = settings.pipeline, settings.replay
    rules = TriggerRules(
        budget=Budget(
            max_turns=replay.max_turns,
            max_output_tokens=replay.max_tokens,
            max_seconds=round(replay.max_seconds),
        ),
        case_budget=Allowance(
            attempts=replay.attempts_per_case,
            tokens=replay.tokens_per_case,
            seconds=replay.seconds_per_case,
            cost_micros=replay.cost_per_case * MICROS_PER_CENT,
        ),
        controls=ControlRules(
            share=pipeline.control_share,
            spend=pipeline.control_spend,
            runs=pipeline.control_runs,
            corrector_share=pipeline.corrector_share,
            corrector=pipeline.corrector_model,
            judges=pipeline.judge_models,
        ),
        unhinted_runs=pipeline.unhinted_runs,
        samples_per_strength=pipeline.hinted_tries,
        deadline=timedelta(hours=pipeline.case_deadline_hours),
    )
    codec = make_codec(settings)
    run_keyed(Trigger(rules, make_dependencies(settings, codec)), stage_context(settings, codec))
