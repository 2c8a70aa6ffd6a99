"""Every reason of a disposition and every kind of a dead letter is listed with a meaning and a remedy."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from schemas.dead_letter_kinds import KINDS, DeadLetterKind
from schemas.disposition_reasons import REASONS, ListedReason, StopReason
from schemas.records import DispositionOutcome
from scripts.docs import DOCS, metrics
from streams.gates import reason_codes
from streams.settings import Settings
from streams.settings_errors import fields_of, variable_of
from streams.stages.trigger.next_action import next_action


def words(literal: Any) -> Iterator[str]:
    """What a Literal, or a union of such, allows."""
    for one in get_args(literal):
        if isinstance(one, str):
            yield one
        else:
            yield from words(one)


def test_every_kind_is_in_the_list_once() -> None:
    assert sorted(one.code for one in KINDS) == sorted(words(DeadLetterKind)), (
        "schemas/dead_letter_kinds.py: a code is in DeadLetterKind and once in KINDS"
    )


def test_every_reason_is_in_the_list_once() -> None:
    # no case closes, and no run ends, by these verdicts
    assert sorted(one.code for one in REASONS) == sorted({*words(ListedReason)} - {"correct", "retract"}), (
        "schemas/disposition_reasons.py: a reason is in its Literal and once in REASONS"
    )


def test_the_rule_that_stops_cases_says_which_stop_reasons_it_gives() -> None:
    said = (next_action.__doc__ or "").partition("Stop reasons:")[2]
    assert {*re.findall(r"`(\w+)`", said)} == {*words(StopReason)} - {"deadline"}


@pytest.mark.parametrize("reason", REASONS, ids=lambda one: one.code)
def test_a_reason_belongs_to_outcomes(reason: Any) -> None:
    assert reason.outcomes
    assert {*reason.outcomes} <= {*words(DispositionOutcome)}
    assert reason.meaning.endswith(".")
    assert not reason.remedy.endswith(".")


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.code)
def test_a_kind_says_what_to_do(kind: Any) -> None:
    assert kind.meaning.endswith(".")
    assert len(kind.remedy) > 1
    assert not kind.remedy.endswith(".")


def test_every_outcome_is_described() -> None:
    text = (DOCS / "dispositions.md").read_text()
    assert [one for one in words(DispositionOutcome) if f"| `{one}` |" not in text] == []


def test_what_reasons_and_kinds_name_exists() -> None:
    text = "".join(one.meaning + one.remedy for one in (*REASONS, *KINDS))
    settings = {variable_of(path) for path, _ in fields_of(Settings)}
    assert {*re.findall(r"\bOPOI_[A-Z_]+", text)} <= settings
    assert {*re.findall(r"\bopoi_\w+", text)} <= {one.name for one in metrics()}


def test_one_word_is_never_two_things() -> None:
    """A disposition says the word alone: whoever filters by it must know which list it is from."""
    gates = {one.code for one in reason_codes.REASONS}
    shared = {"version_skew", "test_split", "too_large"}
    lists = [{one.code for one in REASONS}, {one.code for one in KINDS}, gates]
    for number, one in enumerate(lists):
        for other in lists[number + 1 :]:
            assert one & other <= shared, (
                f"rename {sorted((one & other) - shared)}: another list has that word already (reasons of "
                "dispositions, kinds of dead letters, reason codes of gates)"
            )
