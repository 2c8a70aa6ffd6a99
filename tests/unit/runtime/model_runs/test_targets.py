"""What is away holds up what needs it, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from agent.arms import ARMS, BARE, CannotAsk
from agent.ports import ModelAway, QuotaExceeded, Target
from schemas.errors import RegistryAway
from schemas.records import ExpertVerdict, ReplayRequest
from streams.runtime.model_runs.targets import MOST_KINDS, Targets
from testkit import builders
from tests.unit.stages.replay.replay_samples import request

ONE, OTHER = Target("agent:one", "http://one"), Target("agent:other", "http://other")


def of(agent: str, arm: Any = "unhinted", **target: Any) -> ReplayRequest:
    made = request(agent=agent, arm=arm)
    return made.model_copy(update={"target": made.target.model_copy(update=target)})


def fails(targets: Targets, one: ReplayRequest, error: Exception) -> None:
    held = targets.acquire(one)
    assert held is not None
    targets.failure(one, held, error)


def gauge(what: str) -> float | None:
    return REGISTRY.get_sample_value("opoi_replay_away", {"what": what})


def test_an_agent_that_is_away_holds_up_its_own_runs_alone() -> None:
    targets = Targets()
    fails(targets, of("one"), ModelAway("503", target=ONE))
    assert targets.acquire(of("one")) is None
    assert not targets.is_ready(of("one", "opoi"))
    assert targets.is_ready(of("other"))
    assert targets.is_ready(of("one", "corrector_sft")), "a bare model is asked, whoever serves the agent"
    assert targets.why_away(of("one")) == "agent:one is away: ModelAway: 503"
    assert (gauge("agent:one"), targets.why_away(of("other"))) == (1, "")


def test_a_model_that_is_away_holds_up_what_runs_on_it() -> None:
    targets = Targets()
    fails(targets, of("one"), ModelAway("503", target=ONE))
    fails(targets, of("local"), QuotaExceeded("429", attempts=5))
    assert not targets.is_ready(of("local"))
    assert not targets.is_ready(of("other", "judge"))
    assert targets.is_ready(of("other"))
    assert targets.why_away(of("local")) == "model is away: QuotaExceeded: 429 (5 tries)"


def test_two_services_of_one_agent_are_two() -> None:
    targets = Targets(first_wait=0.01)
    before, after = of("one", spec_id="1"), of("one", spec_id="2")
    old, new = Target("agent:one", "http://old"), Target("agent:one", "http://new")
    fails(targets, before, ModelAway("gone", target=old))
    fails(targets, after, ModelAway("busy", target=new))
    held = acquired(targets, after)
    targets.success(held)
    assert targets.is_ready(after)
    assert targets.why_away(before) == "agent:one is away: ModelAway: gone"
    assert gauge("agent:one") == 1
    targets.success(acquired(targets, before))
    assert gauge("agent:one") == 0


def acquired(targets: Targets, one: ReplayRequest) -> Any:
    while (held := targets.acquire(one)) is None:
        pass
    return held


def test_artifacts_that_are_away_hold_up_everything() -> None:
    targets = Targets(first_wait=0.01)
    fails(targets, of("one"), ModelAway("503", target=ONE))
    held = acquired(targets, of("one"))
    targets.failure(of("one"), held, RegistryAway("gone"))
    assert targets.acquire(of("other")) is None
    assert targets.why_away(of("other")) == "artifacts is away: RegistryAway: gone"
    # whoever asks first finds out that they are back, and its own service may be away all the same
    held = acquired(targets, of("one"))
    targets.failure(of("one"), held, ModelAway("503", target=ONE))
    assert targets.is_ready(of("other"))
    assert not targets.is_ready(of("one"))


def test_a_try_that_says_nothing_gives_the_probe_to_the_next() -> None:
    targets = Targets(first_wait=0.01)
    fails(targets, of("one"), ModelAway("503", target=ONE))
    held = acquired(targets, of("one"))
    assert targets.acquire(of("one")) is None, "one probes"
    targets.release(held)
    assert targets.acquire(of("one")) is not None


def test_agents_without_end_take_no_memory_without_end() -> None:
    targets = Targets()
    for number in range(MOST_KINDS + 1):
        fails(targets, of("one", spec_id=str(number)), ModelAway("503", target=ONE))
    assert len(targets._needed) <= MOST_KINDS


@pytest.mark.parametrize("arm", sorted(ARMS))
def test_the_bare_arms_are_those_that_ask_a_bare_model(arm: Any) -> None:
    verdict = ExpertVerdict(
        agent="media_buyer", account_id="a1", decision_id="d1", verdict_id="v1", expert="e", kind="correct",
        corrected_action=builders.action(), given_at=datetime(2026, 11, 1, tzinfo=UTC),
    )  # fmt: skip
    decided = builders.decision()
    oracle = "[note]" if arm in ("opoi", "wrong_oracle") else None
    asked = request(arm=arm, oracle=oracle, verdict=verdict, turns=decided.turns)
    try:
        conversation = ARMS[asked.arm](asked, decided)
    except CannotAsk as error:
        pytest.fail(str(error))
    assert conversation.bare is (arm in BARE)
