"""One run of the support-refund agent: it thinks, calls its tools through opoi and makes the trace."""

import contextlib
import json
import threading
import time
import urllib.request
from typing import Any

if __package__:
    from examples.support_refund import policy
else:
    import policy  # type: ignore[import-not-found, no-redef]  # run as a script


def canonical(value: Any) -> str:
    """`value` as canonical JSON."""
    # RFC 8785 as long as there are no fractions and the names are ASCII, as here
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Ended(Exception):
    """The run ends without a decision: status, reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Run:
    """One run, in a thread of its own."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.trace: dict[str, Any] | None = None
        self.cancelled = threading.Event()
        self.turns: list[dict[str, Any]] = []
        self.model_turns = 0
        self.tool_calls = 0
        self.words = 0
        self.end = time.monotonic() + request["budget"]["max_seconds"]

    def status(self) -> dict[str, Any]:
        """The contract's RunStatus."""
        state = "running" if self.trace is None else "ended"
        return {"run_id": self.request["run_id"], "state": state, "trace": self.trace}

    def go(self) -> None:
        """The whole run."""
        found: dict[str, Any] = {"status": "completed"}
        try:
            first = self._first_turn()
            self.turns.append(first)
            texts = [part["text"] for part in first["parts"]]
            decided = policy.decide(texts, self.request["seed"], self._ask)
            self._carry_out(decided)
            action = {
                "name": decided.action,
                "target": decided.target,
                "arguments_json": canonical(decided.arguments),
            }
            found |= {"action": action, "rationale": decided.rationale}
        except Ended as ended:
            found = {"status": ended.status, "reason": str(ended)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and says so
            found = {"status": "failed", "reason": f"the agent failed ({type(error).__name__})"}
        self.trace = {
            "run_id": self.request["run_id"],
            "decision_id": self.request["decision"]["decision_id"],
            "turns": self.turns,
            "usage": {
                "model_calls": self.model_turns,
                "tool_calls": self.tool_calls,
                "output_tokens": self.words,
            },
            "attempts": self.model_turns,
        } | found
        self._call_back()

    def _first_turn(self) -> dict[str, Any]:
        """The question, and the oracle where it was asked for and nowhere else."""
        question = self.request["decision"]["question"]
        parts = list(question["parts"])
        if (oracle := self.request.get("oracle")) is not None:
            parts.insert(oracle["part"], {"kind": "text", "text": oracle["text"], "is_oracle": True})
        return {"role": question["role"], "parts": parts}

    def _model_turn(self, *parts: dict[str, Any]) -> None:
        budget = self.request["budget"]
        if self.cancelled.is_set():
            raise Ended("cancelled", "the run was cancelled")
        if time.monotonic() >= self.end:
            raise Ended("exhausted", f"max_seconds: {budget['max_seconds']:g} s are over")
        if self.model_turns >= budget["max_turns"]:
            raise Ended("exhausted", f"max_turns: {self.model_turns} turns are used")
        words = sum(len((part.get("text") or part.get("arguments_json") or "").split()) for part in parts)
        if self.words + words > budget["max_output_tokens"]:
            raise Ended("exhausted", f"max_output_tokens: {self.words} are used")
        self.model_turns += 1
        self.words += words
        self.turns.append({"role": "model", "parts": list(parts), "finish_reason": "STOP"})

    def _ask(self, calls: list[tuple[str, dict[str, Any]]], *said: dict[str, Any]) -> list[policy.Answer]:
        """One turn of calls and the turn of their answers."""
        ids = [f"call-{self.tool_calls + number}" for number in range(len(calls))]
        asked = [
            {
                "kind": "function_call",
                "call_id": call_id,
                "tool": tool,
                "arguments_json": canonical(arguments),
            }
            for call_id, (tool, arguments) in zip(ids, calls, strict=True)
        ]
        self._model_turn(*said, *asked)
        self.tool_calls += len(calls)
        parts = [
            self._call(call_id, tool, arguments)
            for call_id, (tool, arguments) in zip(ids, calls, strict=True)
        ]
        self.turns.append({"role": "user", "parts": parts})
        return [json.loads(part["response_json"]) if part.get("response_json") else None for part in parts]

    def _call(self, call_id: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call through opoi; its answer is a part that goes into the next turn as it is."""
        body = {"call_id": call_id, "tool": tool, "arguments": arguments}
        try:
            part: dict[str, Any] = self._post(self.request["tools_url"], body)
        except (OSError, ValueError) as error:
            if time.monotonic() >= self.end:
                raise Ended("exhausted", "max_seconds: a tool did not answer in time") from error
            raise Ended("failed", f"{tool} could not be asked ({type(error).__name__})") from error
        return part

    def _carry_out(self, decided: policy.Decision) -> None:
        said = {"kind": "text", "text": f"{decided.rationale} Decision: {decided.action}."}
        if decided.write is None:
            self._model_turn(said)
            return
        self._ask([decided.write], said)
        self._model_turn({"kind": "text", "text": "That is done."})

    def _call_back(self) -> None:
        if self.request.get("callback_url") and not self.cancelled.is_set():
            # where nobody listens any more the status was polled, or will be
            with contextlib.suppress(OSError, ValueError):
                self._post(self.request["callback_url"], self.status())

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.request['tools_token']}",
        }
        left = max(0.1, self.end - time.monotonic())
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=min(left, 60.0)) as answer:
            return json.loads(answer.read() or b"null")
