"""Ports as the trigger and the sanitizer get them, without a model, a broker or a registry."""

import json
from typing import Any

import pytest

from schemas.disposition_reasons import REASONS
from schemas.records import Action, AgentDecision, Disposition, ExpertVerdict
from streams.core import dispositions
from streams.core.dependencies import Dependencies
from streams.gates import reason_codes
from streams.gates.gate import Common
from testkit.builders import PROMPT, SPEC, TOOLSET, codec

NONCE = "0123456789abcdef"


def render(decision: AgentDecision, verdict: ExpertVerdict, strength: int, replay_id: str) -> str:
    """An oracle in the tests' own words."""
    assert verdict.corrected_action is not None
    where = " Look closely at what happened yesterday before you answer." if strength == 2 else ""
    return f"[{NONCE}] The right choice was {verdict.corrected_action.name}.{where} [{NONCE}]"


def match(decision: AgentDecision, one: Action, other: Action) -> bool:
    """Same name and target."""
    return (one.name, one.target) == (other.name, other.target)


def common(decision: AgentDecision) -> Common:
    """What the media buyer of the tests is given."""
    return Common(PROMPT, TOOLSET, SPEC, actions(decision))


def actions(decision: AgentDecision) -> frozenset[str]:
    """Its action enumeration."""
    return frozenset({"scale_up", "scale_down", "pause", "resume", "hold"})


@pytest.fixture(autouse=True)
def _every_disposition_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage gives only dispositions that docs/dispositions.md describes, in its row."""
    listed = {(outcome, one.code) for one in REASONS for outcome in one.outcomes}
    refused = {one.code for one in reason_codes.REASONS}

    def made(**fields: Any) -> Disposition:
        found = Disposition(**fields)
        # a gate's code; a case may also close since the corrected action is unusable
        of_gate = found.outcome == "rejected" or found.reason in ("unknown_action", "broken_arguments")
        known = (found.outcome, found.reason) in listed
        assert known or (of_gate and found.reason in refused), f"unlisted: {found}"
        return found

    monkeypatch.setattr(dispositions, "Disposition", made)


@pytest.fixture(scope="session")
def ports() -> Dependencies:
    return Dependencies(
        decode=codec.decode,
        render_oracle=render,
        actions_match=match,
        common_of=common,
        actions_of=actions,
        spend_of=lambda decision: json.loads(decision.action.arguments_json).get("daily_budget", 0),
        is_remote=lambda _: False,
    )
