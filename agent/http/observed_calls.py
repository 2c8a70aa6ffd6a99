"""The tool calls that opoi saw in a run; a trace's calls and answers are checked against them."""

import json
from collections.abc import Sequence

from agent.http.contract import Breach
from agent.http.tools_endpoint import Exchange
from agent.spec import AgentSpec
from schemas.identity import canonical
from schemas.records import IntendedWrite, Part, Turn


def intended(exchanges: Sequence[Exchange]) -> tuple[IntendedWrite, ...]:
    """The writes that were simulated, in order."""
    return tuple(
        IntendedWrite(tool=one.call.tool or "", arguments_json=one.call.arguments_json or "{}")
        for one in exchanges
        if one.response.answered_by == "simulated"
    )


def misses(exchanges: Sequence[Exchange]) -> int:
    """The calls that nothing recorded could answer."""
    return sum(one.response.answered_by == "miss" for one in exchanges)


class ObservedCalls:
    """Pairs each call in a trace with the call that opoi saw. Of one run; each call pairs once."""

    def __init__(self, exchanges: Sequence[Exchange], spec: AgentSpec, sub_agents: set[str]) -> None:
        self._left: dict[tuple[str | None, str], list[Exchange]] = {}
        for one in exchanges:
            self._left.setdefault(_request(one.call), []).append(one)
        self._spec = spec
        self._sub_agents = sub_agents

    def with_true_answers(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """The conversation with every tool's answer as opoi gave it. Raises Breach."""
        made: list[Turn] = []
        calls: list[Part] = []
        for turn in turns:
            parts = []
            for part in turn.parts:
                if part.kind != "function_response":
                    parts.append(part)
                    continue
                if not calls or calls[0].tool != part.tool:
                    raise Breach("unpaired_call", f"an answer of {part.tool!r} follows no call of it")
                parts.append(self._true(calls.pop(0), part))
            if calls:
                raise Breach("unpaired_call", f"the call of {calls[0].tool!r} has no answer in the next turn")
            calls = [part for part in turn.parts if part.kind == "function_call"]
            made.append(turn.model_copy(update={"parts": tuple(parts)}))
        return tuple(made)

    def check_none_hidden(self) -> None:
        """Every call that opoi saw is in the trace. Raises Breach."""
        left = [one for same in self._left.values() for one in same]
        if left:
            named = sorted({one.call.tool or "" for one in left})
            raise Breach(
                "tool_call_hidden",
                f"{len(left)} calls of {', '.join(named)} were made but are not in the trace",
            )

    def _true(self, call: Part, claimed: Part) -> Part:
        seen = self._taken(call)
        if seen is None:
            own = claimed.model_copy(update=_UNSEEN | {"effect": self._spec.effect(call.tool or "")})
            # an error that the agent made up told its model nothing about the world
            if _is_own_error(claimed):
                return own.model_copy(update={"answered_by": "error"})
            if self._is_of_sub_agent(call.tool or ""):
                if not _is_json(claimed.response_json):
                    raise Breach("contract", f"the answer of the sub-agent {call.tool!r} is no JSON")
                return own
            raise Breach("tool_call_bypassed", f"an answer of {call.tool!r} did not come through tools_url")
        response = seen.response
        if _is_own_error(claimed) and claimed.error != response.error:
            # the call was made, but its model saw the agent's own words, which are in no recording
            seen_by_model = {"call_id": claimed.call_id, "response_json": None, "error": claimed.error}
            if response.effect != "write":  # a write stays a write, whatever its model saw
                seen_by_model |= {"answered_by": "error", "fetched_at": None}
            return response.model_copy(update=seen_by_model)
        if not _same_json(claimed.response_json, response.response_json) or (
            (claimed.error or None) != response.error
        ):
            raise Breach(
                "tool_answer_differs", f"an answer of {call.tool!r} is not the one that it was given"
            )
        return response.model_copy(update={"call_id": claimed.call_id})

    def _is_of_sub_agent(self, tool: str) -> bool:
        """Whether a sub-agent answers the tool by the spec, and its run is in the trace."""
        known = self._spec.tools.get(tool)
        return known is not None and known.sub_agent in self._sub_agents

    def _taken(self, call: Part) -> Exchange | None:
        same = self._left.get(_request(call), [])
        # equal requests may have had different answers: then the call's id decides
        found = next((one for one in same if one.call.call_id == call.call_id), same[0] if same else None)
        if found is not None:
            same.remove(found)
        return found


# fields of an answer that only opoi can fill
_UNSEEN = {"answered_by": None, "request_hash": None, "fetched_at": None}


def _is_own_error(claimed: Part) -> bool:
    return claimed.response_json is None and claimed.error is not None


# what JSON text of an agent can raise: no JSON, numbers out of range, nesting too deep
_NO_JSON = (ValueError, RecursionError)


def _request(call: Part) -> tuple[str | None, str]:
    try:
        return call.tool, canonical(call.arguments_json or "{}")
    except _NO_JSON as error:
        raise Breach("contract", f"the arguments of a call of {call.tool!r} are no JSON: {error}") from error


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except _NO_JSON:
        return False
    return True


def _same_json(one: str | None, other: str | None) -> bool:
    if one == other:
        return True
    try:
        return one is not None and other is not None and bool(json.loads(one) == json.loads(other))
    except _NO_JSON:
        return False
