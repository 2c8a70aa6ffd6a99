"""A replay as a person reads it."""

from typing import Any

from streams.cli.trace_text import lines
from tests.unit.cli.trace_rows import trace


def shown(**changes: Any) -> str:
    return "\n".join(lines(trace(**changes)))


def test_everything_that_a_reader_asks_for_is_there() -> None:
    text = shown()
    for wanted in (
        "Replay r1 of decision d1 (a)",
        "arm       opoi, strength 2 (action and where to look), sample 0",
        "version 1 on m at http://127.0.0.1:1",
        "oracle    turn 1, part 2 of the conversation below",
        "ORACLE    [note]",
        "thinks    Hm.",
        "calls     read {}",
        "superset  read: {}",
        "miss      read: error: no answer",
        "4 model   [MAX_TOKENS]",
        "Sub-agent analyst (s1), called by the main run",
        "status    completed",
        'action    refuse O1 {"amount":5}',
        "because   It was seen.",
        "would     pay {} (simulated)",
        "5 answers: 1 recording, 1 superset, 1 snapshot, 1 miss, 1 sub-agent; 1 misses in all",
        "2 model calls in 3 attempts, 900 tokens in, 40 tokens out; 0.001500 USD",
        "took      2.5 s, from 2026-03-01 12:00:00 UTC",
    ):
        assert wanted in text, wanted


def test_long_texts_are_cut_unless_all_is_asked_for() -> None:
    assert "x" * 200 not in shown()
    assert max(map(len, lines(trace()))) < 200
    full = "\n".join(lines(trace(), full=True))
    assert "x" * 500 in full
    assert "says      Decide.\n              Now." in full


def test_what_is_not_known_is_not_a_number() -> None:
    text = shown(usage_cost_micros=None, usage_cost_currency=None)
    assert "no price is known" in text
    assert "USD" not in text


def test_a_run_without_anything_is_told_too() -> None:
    text = shown(
        turns=[], sub_agent_runs=[], action_name=None, rationale=None, intended_writes=[], misses=0,
        status="failed", reason="artifact_missing: no AgentSpec",
    )  # fmt: skip
    assert "oracle    none" in text
    assert "no turns" in text
    assert "status    failed: artifact_missing: no AgentSpec" in text
    assert "action    none" in text
    assert "no answers; 0 misses in all" in text
