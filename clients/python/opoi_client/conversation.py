"""A conversation under way: turns, tool calls paired with their answers, what it used."""

import inspect
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opoi_client.agent import Agent
from opoi_client.canonical import NotCanonical, canonical_json

Part = Mapping[str, Any]
Clock = Callable[[], datetime]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call of the model used; None where that is not known. Cost is in millionths of a unit."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    thought_tokens: int | None = None
    cost_micros: int | None = None
    cost_currency: str | None = None


def text(words: str) -> Part:
    """A part that is text."""
    return {"kind": "text", "text": words}


def thought(words: str, *, signature: bytes | None = None) -> Part:
    """A part that is the model's thinking."""
    return _without_none({"kind": "thought", "text": words, "signature": signature})


def call(
    tool: str, arguments: Mapping[str, Any], *, call_id: str | None = None, signature: bytes | None = None
) -> Part:
    """A part that calls a tool. Raises NotCanonical."""
    return _without_none(
        {
            "kind": "function_call",
            "call_id": call_id,
            "tool": tool,
            "arguments_json": canonical_json(dict(arguments)),
            "signature": signature,
        }
    )


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Conversation:
    """What is said between an agent and its model, in order. Tools may answer from any thread."""

    def __init__(self, agent: Agent, clock: Clock = utc_now) -> None:
        self.agent = agent
        self._clock = clock
        self._lock = threading.RLock()
        self._turns: list[dict[str, Any]] = []
        # the calls of the last model turn, and what answered each
        self._calls: list[Part] = []
        self._answers: list[dict[str, Any] | None] = []
        self._usage: dict[str, Any] = {"model_calls": 0, "tool_calls": 0}

    def user(self, *words: str) -> None:
        """What the agent was told: the question first, later words beside tool answers, in their turn."""
        said = [dict(text(one)) for one in words]
        with self._lock:
            self._close()
            if self._turns and self._turns[-1]["role"] == "user":
                said = [*self._turns.pop()["parts"], *said]
            self._turns.append({"role": "user", "parts": said})

    def model(
        self,
        *parts: Part | str,
        finish_reason: str | None = "STOP",
        log_probabilities: Iterable[tuple[str, float]] = (),
        usage: Usage | None = None,
    ) -> None:
        """A turn of the model; a text stands for itself. `log_probabilities` are token and natural log."""
        said = [dict(text(part) if isinstance(part, str) else part) for part in parts]
        turn: dict[str, Any] = {"role": "model", "parts": said, "finish_reason": finish_reason}
        scored = [{"token": token, "log_probability": float(value)} for token, value in log_probabilities]
        if scored:
            turn["log_probabilities"] = scored
        with self._lock:
            self._close()
            self._turns.append(turn)
            self._calls = [part for part in said if part["kind"] == "function_call"]
            self._answers = [None] * len(self._calls)
            self._usage["model_calls"] += 1
            self._count(usage)

    def tools(self, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
        """The same functions, recorded: they take the tool's arguments by name, and may be coroutines."""

        def recorded(tool: str, function: Callable[..., Any]) -> Callable[..., Any]:
            async def awaited(**arguments: Any) -> Any:
                with self._recording(tool, arguments, None) as found:
                    found.append(await function(**arguments))
                return found[0]

            if inspect.iscoroutinefunction(function):
                return awaited
            return lambda **arguments: self.run_tool(tool, arguments, lambda: function(**arguments))

        return {tool: recorded(tool, function) for tool, function in functions.items()}

    def run_tool(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        function: Callable[[], Any],
        *,
        call_id: str | None = None,
    ) -> Any:
        """What `function` answers, recorded; what it raises is recorded by its type and raised again.

        Raises NotCanonical, before the tool is called, for arguments that JSON cannot carry.
        """
        with self._recording(tool, arguments, call_id) as found:
            found.append(function())
        return found[0]

    def answered(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        response: Any,
        *,
        call_id: str | None = None,
        fetched_at: datetime | None = None,
    ) -> None:
        """A tool's answer; fetched now where no time is given. One that JSON cannot carry is logged, and
        recorded as an error that no replay takes for the tool's own. Raises NotCanonical for such arguments.
        """
        known, body = self._asked(tool, arguments), body_of(response)
        if body is None:
            log.warning("%s answered a %s, which JSON cannot carry", tool, type(response).__name__)
            known |= {"error": f"{tool} answered something that is no JSON", "answered_by": "error"}
            known.pop("request_hash", None)
        elif self.agent.is_sub_agent(tool):
            # as opoi's own runtime writes a finding, where it has that form
            with suppress(NotCanonical, RecursionError):
                body = canonical_json(response)
            known["response_json"] = body
        else:
            known |= {"response_json": body, "answered_by": "live"}
            known["fetched_at"] = utc_milliseconds(fetched_at or self._clock())
        self._answer(known, arguments, call_id)

    def failed(
        self, tool: str, arguments: Mapping[str, Any], error: str, *, call_id: str | None = None
    ) -> None:
        """The error that the model was shown instead of an answer; keep secrets and addresses out of it."""
        self._answer(
            self._asked(tool, arguments) | {"error": error, "answered_by": "error"}, arguments, call_id
        )

    def turns(self) -> list[dict[str, Any]]:
        """Every turn so far, in order."""
        with self._lock:
            self._close()
            return [dict(turn) for turn in self._turns]

    def usage(self) -> dict[str, Any]:
        """What was used so far."""
        with self._lock:
            return dict(self._usage)

    @contextmanager
    def _recording(self, tool: str, arguments: Mapping[str, Any], call_id: str | None) -> Iterator[list[Any]]:
        """One call under way: its answer is put into the list."""
        canonical_json(dict(arguments))
        found: list[Any] = []
        try:
            yield found
        except Exception as error:
            # the text of a foreign error may hold addresses and tokens
            self.failed(tool, arguments, f"{tool} failed ({type(error).__name__})", call_id=call_id)
            raise
        self.answered(tool, arguments, found[0], call_id=call_id)

    def _asked(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What a response says of its request."""
        known: dict[str, Any] = {"kind": "function_response", "tool": tool}
        effect = self.agent.effect(tool)
        if effect is not None:
            known["effect"] = effect
            if not self.agent.is_sub_agent(tool):
                known["request_hash"] = self.agent.request_hash(tool, arguments)
        return known

    def _answer(self, part: dict[str, Any], arguments: Mapping[str, Any], call_id: str | None) -> None:
        with self._lock:
            place = self._place(part["tool"], arguments, call_id)
            if "call_id" in self._calls[place]:
                part["call_id"] = self._calls[place]["call_id"]
            self._answers[place] = part
            self._usage["tool_calls"] += 1

    def _place(self, tool: str, arguments: Mapping[str, Any], call_id: str | None) -> int:
        """Which call this answers; one that no turn of the model named is added to the last one."""
        made = call(tool, arguments, call_id=call_id)
        for place, asked in enumerate(self._calls):
            same_id = call_id is None or asked.get("call_id") == call_id
            if self._answers[place] is None and same_id and _same_call(asked, made):
                return place
        if not self._turns or self._turns[-1]["role"] != "model":
            self._turns.append({"role": "model", "parts": [], "finish_reason": "STOP"})
        self._turns[-1]["parts"].append(dict(made))
        self._calls.append(made)
        self._answers.append(None)
        return len(self._calls) - 1

    def _close(self) -> None:
        """Put the answers to the last model turn into a turn of their own, in the order of the calls."""
        if not self._calls:
            return
        answers = [
            answer or _unanswered(asked, self.agent.effect(asked["tool"]))
            for asked, answer in zip(self._calls, self._answers, strict=True)
        ]
        self._turns.append({"role": "user", "parts": answers})
        self._calls, self._answers = [], []

    def _count(self, usage: Usage | None) -> None:
        if usage is None:
            return
        currency = self._usage.get("cost_currency")
        if usage.cost_currency and currency and currency != usage.cost_currency:
            raise ValueError(f"one run is paid in one currency: {currency}, not also {usage.cost_currency}")
        for name in ("input_tokens", "cached_tokens", "output_tokens", "thought_tokens", "cost_micros"):
            value = getattr(usage, name)
            if value is not None:
                self._usage[name] = self._usage.get(name, 0) + value
        if usage.cost_currency:
            self._usage["cost_currency"] = usage.cost_currency


def body_of(response: Any) -> str | None:
    """A response as JSON text; None where it has no such form."""
    try:
        body = json.dumps(response, ensure_ascii=False, allow_nan=False)
        # half of a surrogate pair is a text to Python and to nobody else
        body.encode()
    except (TypeError, ValueError, RecursionError):
        return None
    return body


def utc_milliseconds(time: datetime) -> datetime:
    """A time as a record carries it. Raises ValueError for one without a time zone."""
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no time zone; records carry UTC times")
    time = time.astimezone(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _same_call(one: Part, other: Part) -> bool:
    return bool(one["tool"] == other["tool"] and one["arguments_json"] == other["arguments_json"])


def _unanswered(asked: Part, effect: str | None) -> dict[str, Any]:
    """What stands for a missing answer: without a hash, so that no replay takes it for the tool's own."""
    log.warning("a call of %s was not answered before the conversation went on", asked["tool"])
    return _without_none(
        {
            "kind": "function_response",
            "call_id": asked.get("call_id"),
            "tool": asked["tool"],
            "effect": effect,
            "error": "no answer was recorded",
            "answered_by": "error",
        }
    )


def _without_none(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}
