"""One replay in readable form, from the row of its trace."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

STRENGTHS = {0: "no oracle", 1: "action only", 2: "action and where to look"}
ANSWERS = ("recording", "superset", "snapshot", "simulated", "miss", "error", "live")
CUT = 160
"""Characters of a text, unless `full`."""
MICROS = 1_000_000


def lines(trace: Row, *, full: bool = False) -> Iterator[str]:
    """The trace, line by line; with `full` no text is cut."""
    yield f"Replay {trace['replay_id']} of decision {trace['decision_id']} ({trace['agent']})"
    yield f"  account   {trace['account_id']}, verdict {trace['verdict_id']} revision {trace['revision']}"
    yield f"  arm       {trace['arm']}, {_strength(trace)}, sample {trace['sample']}"
    at = f" at {trace['target_endpoint']}" if trace["target_endpoint"] else ""
    yield f"  agent     version {trace['target_agent_version']} on {trace['target_model']}{at}"
    yield f"  oracle    {_oracle(trace['turns'])}"
    yield ""
    yield from _conversation(trace["turns"], full, "")
    for run in trace["sub_agent_runs"]:
        yield ""
        called = f"sub-agent {run['parent_id']}" if run["parent_id"] else "the main run"
        yield f"Sub-agent {run['name']} ({run['run_id']}), called by {called}"
        yield from _conversation(run["turns"], full, "  ")
    yield ""
    why = f": {trace['reason']}" if trace["reason"] else ""
    yield f"  status    {trace['status']}{why}"
    yield f"  action    {_action(trace)}"
    if trace["rationale"]:
        yield f"  because   {_shown(trace['rationale'], full)}"
    for write in trace["intended_writes"]:
        yield f"  would     {write['tool']} {_shown(write['arguments_json'], full)} (simulated)"
    yield f"  tools     {_tools(trace)}"
    yield f"  cost      {_cost(trace)}"
    took = (trace["finished_at"] - trace["started_at"]).total_seconds()
    yield f"  took      {took:.1f} s, from {trace['started_at']:%Y-%m-%d %H:%M:%S} UTC"


def _strength(trace: Row) -> str:
    number = trace["strength"]
    return f"strength {number} ({STRENGTHS[number]})" if number in STRENGTHS else f"strength {number}"


def _oracle(turns: Sequence[Row]) -> str:
    places = [
        f"turn {number}, part {place}"
        for number, turn in enumerate(turns, 1)
        for place, part in enumerate(turn["parts"], 1)
        if part["is_oracle"]
    ]
    return f"{', '.join(places)} of the conversation below" if places else "none"


def _conversation(turns: Sequence[Row], full: bool, indent: str) -> Iterator[str]:
    if not turns:
        yield f"{indent}  no turns"
    for number, turn in enumerate(turns, 1):
        ended = turn["finish_reason"]
        note = f"   [{ended}]" if ended and ended != "STOP" else ""
        yield f"{indent}{number:>3} {turn['role']}{note}"
        for part in turn["parts"]:
            label, text = _part(part)
            # the oracle is short, and the run is judged by it
            yield from _indented(label, _shown(text, full or part["is_oracle"]), f"{indent}    ")


def _part(part: Row) -> tuple[str, str]:
    if part["is_oracle"]:
        return "ORACLE", part["text"] or ""
    if part["kind"] == "function_call":
        return "calls", f"{part['tool']} {part['arguments_json'] or ''}"
    if part["kind"] == "function_response":
        answer = part["response_json"] or f"error: {part['error']}"
        return part["answered_by"] or "answer", f"{part['tool']}: {answer}"
    return ("thinks" if part["kind"] == "thought" else "says"), part["text"] or ""


def _indented(label: str, text: str, indent: str) -> Iterator[str]:
    first, *rest = text.removesuffix("\n").split("\n")
    yield f"{indent}{label:<10}{first}"
    yield from (f"{indent}{'':<10}{line}" if line else "" for line in rest)


def _shown(text: str, full: bool) -> str:
    if full:
        return text
    line = " ".join(text.split())
    return line if len(line) <= CUT else f"{line[: CUT - 1]}…"


def _action(trace: Row) -> str:
    if not trace["action_name"]:
        return "none"
    named = f"{trace['action_name']} {trace['action_target'] or ''}".strip()
    arguments = trace["action_arguments_json"]
    return f"{named} {arguments}" if arguments and arguments != "{}" else named


def _tools(trace: Row) -> str:
    conversations = [trace["turns"], *(run["turns"] for run in trace["sub_agent_runs"])]
    analysts = {run["name"] for run in trace["sub_agent_runs"]}
    answered = Counter(
        part["answered_by"] or ("sub-agent" if part["tool"] in analysts else "unknown")
        for turns in conversations
        for turn in turns
        for part in turn["parts"]
        if part["kind"] == "function_response"
    )
    by = [f"{answered[name]} {name}" for name in (*ANSWERS, "sub-agent", "unknown") if answered[name]]
    said = f"{answered.total()} answers: {', '.join(by)}" if by else "no answers"
    return f"{said}; {trace['misses']} misses in all"


def _cost(trace: Row) -> str:
    found = [f"{trace['usage_model_calls']} model calls in {trace['attempts']} attempts"]
    for name, what in (
        ("input_tokens", "tokens in"),
        ("cached_tokens", "of them cached"),
        ("output_tokens", "tokens out"),
        ("thought_tokens", "thought tokens"),
    ):
        if trace[f"usage_{name}"] is not None:
            found.append(f"{trace[f'usage_{name}']} {what}")
    if trace["usage_cost_micros"] is None:
        return f"{', '.join(found)}; no price is known"
    return f"{', '.join(found)}; {trace['usage_cost_micros'] / MICROS:.6f} {trace['usage_cost_currency']}"
