"""A replay as a person reads it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from streams.cli.trace_text import lines

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def part(kind: str, **changes: Any) -> dict[str, Any]:
    names = ("text", "tool", "arguments_json", "response_json", "answered_by", "error")
    return dict.fromkeys(names) | {"kind": kind, "is_oracle": False} | changes


def turn(role: str, *parts: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"role": role, "parts": list(parts), "finish_reason": finish_reason}


def trace(**changes: Any) -> dict[str, Any]:
    """A row as ClickHouse gives it."""
    usage = {"model_calls": 2, "input_tokens": 900, "cached_tokens": None, "output_tokens": 40}
    usage |= {"thought_tokens": None, "cost_micros": 1500, "cost_currency": "USD"}
    answers = [
        part("function_response", tool="read", response_json="{}", answered_by=name)
        for name in ("recording", "superset", "snapshot")
    ]
    call = part("function_call", tool="read", arguments_json="{}")
    analysed = [turn("user", part("text", text="?"))]
    answers.append(part("function_response", tool="read", error="no answer", answered_by="miss"))
    answers.append(part("function_response", tool="analyst", response_json="{}", answered_by=None))
    row: dict[str, Any] = {
        "replay_id": "r1", "decision_id": "d1", "agent": "a", "account_id": "acc", "verdict_id": "v1",
        "revision": 1, "arm": "opoi", "strength": 2, "sample": 0, "target_agent_version": "1",
        "target_model": "m", "target_endpoint": "http://127.0.0.1:1", "status": "completed", "reason": None,
        "turns": [
            turn("user", part("text", text="Decide.\nNow."), part("text", text="[note]", is_oracle=True)),
            turn("model", part("thought", text="Hm."), call),
            turn("user", *answers),
            turn("model", part("text", text="x" * 500), finish_reason="MAX_TOKENS"),
        ],
        "sub_agent_runs": [
            {"name": "analyst", "run_id": "s1", "parent_id": None, "turns": analysed}
        ],
        "action_name": "refuse", "action_target": "O1", "action_arguments_json": '{"amount":5}',
        "rationale": "It was seen.", "misses": 1, "attempts": 3, "started_at": BEGUN,
        "intended_writes": [{"tool": "pay", "arguments_json": "{}"}],
        "finished_at": BEGUN + timedelta(seconds=2.5),
        **{f"usage_{name}": value for name, value in usage.items()},
    }  # fmt: skip
    return row | changes


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
