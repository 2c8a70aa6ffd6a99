"""The row of a trace, as ClickHouse gives it."""

from datetime import UTC, datetime, timedelta
from typing import Any

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
