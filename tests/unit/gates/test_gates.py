"""The gates: what is removed and proven, what leaks are seen, what a row must be."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Part, Turn
from streams.gates import leak, structural, validity
from streams.gates.battery import GATES, HASHED, VALIDITY_ONLY, judge
from streams.gates.gate import Common, Subject
from streams.gates.reason_codes import REASONS
from testkit.builders import PROMPT, SPEC, TOOLSET, action, conversation, decision, verdict

NONCE = "0123456789abcdef"
ORACLE = f"[{NONCE}] A closer look at yesterday alone would have favoured scale_up. [{NONCE}]"
COMMON = Common(PROMPT, TOOLSET, SPEC, frozenset({"scale_up", "hold"}))
UP = action("scale_up")
NOT_HASHED = {
    "intake",
    "replay_readiness",
    "unhinted_baseline",
    "hinted_runs",
    "corrector",
    "join",
    "trigger",
    "size",
}
"""What the gate set leaves out on purpose: what judges no conversation."""


def subject(turns: tuple[Turn, ...] | None = None, **changes: Any) -> Subject:
    """A hinted run that reached the expert's action."""
    fields: dict[str, Any] = {
        "turns": turns if turns is not None else conversation("Yesterday earned well.", UP, ORACLE),
        "action": UP,
        "decision": decision(),
        "verdict": verdict(kind="correct", rationale="You overlooked the strong sales of the last day."),
        "common": COMMON,
        "hinted": True,
    }
    return Subject(**(fields | changes))


def said(text: str) -> Subject:
    return subject(conversation(text, UP, ORACLE))


def test_a_clean_hinted_run_passes_every_gate() -> None:
    assert [one.reason_code for one in judge(subject())] == ["ok"] * len(GATES)


def test_every_gate_is_in_the_gate_set_or_left_out_on_purpose() -> None:
    hashed = {str(one["gate"]) for one in HASHED}
    judging = {gate(subject()).gate for gate in (*GATES, *VALIDITY_ONLY)}
    assert judging <= hashed, f"add {sorted(judging - hashed)} to HASHED in streams/gates/battery.py"
    refusing = {one.gate for one in REASONS}
    assert refusing - hashed == NOT_HASHED, (
        f"add {sorted(refusing - hashed - NOT_HASHED)} to HASHED in streams/gates/battery.py; a rule that "
        "judges no conversation to NOT_HASHED here"
    )


def test_removal_deletes_oracle_thoughts_and_signatures_and_nothing_else() -> None:
    turns = list(conversation("Yesterday earned well.", UP, ORACLE))
    thought = Part(kind="thought", text="The note says scale up.", signature=b"\x09")
    turns[3] = turns[3].model_copy(update={"parts": (thought, *turns[3].parts)})
    cleaned = structural.remove(tuple(turns))
    plain = conversation("Yesterday earned well.", UP)
    assert cleaned == structural.remove(plain)
    assert all(part.signature is None for turn in cleaned for part in turn.parts)
    assert ORACLE not in str(cleaned)


@given(oracle=st.text(min_size=1), rationale=st.text())
@settings(deadline=None)
def test_whatever_the_oracle_says_its_removal_gives_the_unhinted_request(oracle: str, rationale: str) -> None:
    hinted = structural.remove(conversation(rationale, UP, oracle))
    assert hinted == structural.remove(conversation(rationale, UP))


@pytest.mark.parametrize(
    ("turns", "hinted", "code"),
    [
        (conversation("Fine.", UP), True, "oracle_missing"),
        (conversation("Fine.", UP, ORACLE), False, "oracle_unexpected"),
        (
            (
                *conversation("Fine.", UP)[:2],
                Turn(role="user", parts=(Part(kind="text", text=ORACLE, is_oracle=True),)),
            ),
            True,
            "oracle_misplaced",
        ),
        (
            (
                Turn(
                    role="user",
                    parts=(
                        Part(kind="text", text="Decide on another campaign."),
                        Part(kind="text", text=ORACLE, is_oracle=True),
                    ),
                ),
                *conversation("Fine.", UP)[1:],
            ),
            True,
            "request_differs",
        ),
        (conversation(f"See {NONCE}.", UP, ORACLE), True, "nonce_left"),
    ],
)
def test_structural_proof_refuses(turns: tuple[Turn, ...], hinted: bool, code: str) -> None:
    assert structural.check(subject(turns, hinted=hinted)).reason_code == code


@pytest.mark.parametrize(
    "text",
    [
        "A closer look at yesterday alone favours growth.",
        "a CLOSER look, at yesterday: alone",
        "We saw the strong sales of the last day.",
    ],
)
def test_a_run_of_five_words_of_oracle_or_verdict_is_a_leak(text: str) -> None:
    found = leak.check(said(text))
    assert found.reason_code == "verbatim"
    assert found.evidence["shared_runs"]


def with_error(error: str) -> Subject:
    """A clean hinted run in which the tool failed, in the agent's own words."""
    turns = list(conversation("Yesterday earned well.", UP, ORACLE))
    failed = turns[2].parts[0].model_copy(update={"response_json": None, "error": error})
    turns[2] = turns[2].model_copy(update={"parts": (failed,)})
    return subject(tuple(turns))


def test_an_error_that_an_agent_made_up_can_carry_no_oracle() -> None:
    assert structural.check(with_error(f"no answer [{NONCE}]")).reason_code == "nonce_left"
    assert leak.check(with_error("A closer look at yesterday alone is best.")).reason_code == "verbatim"
    assert leak.check(with_error("The expert wants growth.")).reason_code == "attribution"
    assert leak.check(with_error("get_insights did not answer within 30 s")).passed


def test_words_that_the_prompt_holds_are_no_leak() -> None:
    oracle = f"[{NONCE}] Scale what earns, hold what is unclear. [{NONCE}]"
    judged = leak.check(subject(conversation("Scale what earns, hold what is unclear.", UP, oracle)))
    assert judged.passed


def test_a_tool_response_counts_as_known_only_after_it_came() -> None:
    turns = list(conversation("Nothing.", UP, ORACLE))
    echoed = (
        turns[1].parts[0].model_copy(update={"arguments_json": '{"why":"a closer look at yesterday alone"}'})
    )
    answered = (
        turns[2].parts[0].model_copy(update={"response_json": '{"echo":"a closer look at yesterday alone"}'})
    )
    turns[1] = turns[1].model_copy(update={"parts": (echoed,)})
    turns[2] = turns[2].model_copy(update={"parts": (answered,)})
    assert leak.check(subject(tuple(turns))).reason_code == "verbatim"


@pytest.mark.parametrize(
    "text",
    [
        "As advised, budgets go up.",
        "Following the note, I scale.",
        "In line with your feedback I grow the budget.",
        "The expert wants growth.",
        "I was told to scale.",
        "The desired action is growth.",
    ],
)
def test_talk_about_advice_is_a_leak(text: str) -> None:
    assert leak.check(said(text)).reason_code == "attribution"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"turns": ()}, "no_turns"),
        ({"action": None}, "no_action"),
        ({"action": action("explode")}, "unknown_action"),
        ({"turns": conversation("x", UP)[1:]}, "role_order"),
        ({"turns": conversation("x", UP)[:2]}, "unpaired_call"),
        ({"turns": (*conversation("x", UP)[:3], Turn(role="model", parts=()))}, "empty_turn"),
        ({"turns": conversation("x", UP)[:1]}, "no_final_text"),
    ],
)
def test_rows_that_are_no_rows(change: dict[str, Any], code: str) -> None:
    assert validity.check(subject(hinted=False, **change)).reason_code == code


def test_the_battery_stops_at_the_first_refusal() -> None:
    results = judge(said("As advised."))
    assert [one.gate for one in results] == [structural.NAME, leak.NAME]
