"""A Gemini request as the model sees it: voice, note, facts, and the model turns so far."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local_stack.model.corpus import Trace, Turn
from local_stack.model.facts import Facts
from local_stack.model.grammar import CLOSING, STARTS
from local_stack.model.note import (
    AGENT_VOICE,
    ANALYST_VOICE,
    BARE_VOICE,
    Note,
    read_note,
    read_order,
    read_question,
)
from local_stack.model.rendering import parse
from local_stack.model.vocabulary import (
    DECIDES,
    KIND,
    NAMES,
    NO_STEP,
    READ_CALLS,
    REPORTS,
    WRITE,
    WRITE_CALLS,
    bit,
)

_FIRST_LINE = re.compile(r"campaign\s+(\S+).*?(\d{4}-\d{2}-\d{2})", re.DOTALL)
_TARGET = re.compile(r'(?:"target"|"campaign_id"|campaign)\W{1,4}(\d{3,})')
_BUDGET = re.compile(r"daily[\s_]budget\D{1,12}(\d{2,})", re.IGNORECASE)


@dataclass(slots=True)
class Conversation:
    """The context of the next turn."""

    steering: NDArray[np.int16]
    facts: Facts
    tools: frozenset[str]
    made: set[str] = field(default_factory=set)
    """Tool calls made so far, as token names."""
    closing: bool = False
    """Whether the last model turn made a write, so that only the closing text is left."""
    turns: list[Turn] = field(default_factory=list)
    """The model turns so far, each with its context."""
    places: list[int] = field(default_factory=list)
    """Which content each model turn is."""
    seen: list[Facts] = field(default_factory=list)
    """The facts as each model turn saw them."""

    @property
    def opening(self) -> int:
        """The grammar's state at the start of the next turn."""
        return CLOSING if self.closing else STARTS

    @property
    def trace(self) -> Trace:
        """The model turns so far, for scoring and tuning."""
        return Trace(self.steering, self.turns)

    def history(self) -> list[int]:
        """All model tokens so far."""
        return [token for turn in self.turns for token in turn.tokens]

    def available(self) -> int:
        """The mask of tokens for the next turn: declared calls not yet made, known numbers, steps."""
        glue = REPORTS if self.steering[0] == ANALYST_VOICE else DECIDES
        found = sum(bit(name) for name in (*glue, *self.facts.surfaces(), *self.facts.steps()))
        if not self.facts.steps():
            found |= bit(NO_STEP)
        for name in READ_CALLS:
            if name.partition(" ")[0] in self.tools and name not in self.made:
                found |= bit(name)
        return found | sum(bit(name) for name in WRITE_CALLS if name in self.tools)

    def add_model_turn(self, place: int, parts: Sequence[Mapping[str, Any]]) -> None:
        """Process a content of the model."""
        tokens = parse(parts, self.facts, closing=self.closing)
        self.turns.append(Turn(self.opening, self.available(), self.facts.columns(), tokens))
        self.places.append(place)
        self.seen.append(copy.deepcopy(self.facts))
        self.made |= {NAMES[token] for token in tokens}
        self.closing = any(KIND[token] == WRITE for token in tokens)


def _texts(content: Mapping[str, Any]) -> list[str]:
    return [part["text"] for part in content.get("parts") or [] if isinstance(part.get("text"), str)]


def read_conversation(
    contents: Sequence[Mapping[str, Any]], *, system: bool, tools: frozenset[str], analyst: bool = False
) -> Conversation:
    """Walk through the contents of a request; `system`: whether it has a system instruction, `analyst`:
    whether that one makes it an analyst."""
    texts = _texts(contents[0]) if contents and contents[0].get("role", "user") == "user" else []
    facts = Facts()
    if system:
        _read_task(texts[0] if texts else "", facts)
        steering = "\n".join(texts[1:])
        note = read_order(texts[0].partition("\n")[0] if texts else "") if analyst else read_note(steering)
        facts.noted_budget = _last_budget(steering)
    else:
        whole = "\n".join(text for content in contents for text in _texts(content))
        note = _read_bare(whole, facts)
    voice = ANALYST_VOICE if analyst else AGENT_VOICE if system else BARE_VOICE
    conversation = Conversation(note.steering(voice), facts, tools)
    waiting: list[Mapping[str, Any]] = []
    for place, content in enumerate(contents):
        parts = content.get("parts") or []
        if content.get("role") == "model":
            conversation.add_model_turn(place, parts)
            waiting += [
                call for part in parts if (call := part.get("functionCall") or part.get("function_call"))
            ]
            continue
        for part in parts:
            answer = part.get("functionResponse") or part.get("function_response")
            if isinstance(answer, Mapping):
                _read_answer(answer, waiting, facts)
            elif place and isinstance(part.get("text"), str):
                conversation.closing = False
    return conversation


def _read_task(text: str, facts: Facts) -> None:
    """The request's first line and its JSON object."""
    head = _FIRST_LINE.search(text.partition("\n")[0])
    day = None
    if head is not None:
        facts.campaign_id = head[1]
        day = date.fromisoformat(head[2]) if _is_date(head[2]) else None
    facts.day = day
    begin = text.find("{")
    if begin >= 0:
        try:
            request, _ = json.JSONDecoder().raw_decode(text, begin)
        except ValueError:
            return
        if isinstance(request, dict):
            facts.read_request(request, day)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read_bare(text: str, facts: Facts) -> Note:
    """Process a question without a system prompt: the last campaign, action and budget that it names."""
    targets = _TARGET.findall(text)
    facts.campaign_id = targets[-1] if targets else ""
    facts.asked_budget = _last_budget(text)
    return read_question(text)


def _last_budget(text: str) -> int | None:
    budgets = _BUDGET.findall(text)
    return int(budgets[-1]) if budgets else None


def _read_answer(answer: Mapping[str, Any], waiting: list[Mapping[str, Any]], facts: Facts) -> None:
    """Process a function response, with the arguments of its call."""
    name = str(answer.get("name", ""))
    call = next((call for call in waiting if answer.get("id") and call.get("id") == answer.get("id")), None)
    if call is None:
        call = next((call for call in waiting if call.get("name") == name), None)
    if call is not None:
        waiting.remove(call)
    arguments = (call or {}).get("args") or {}
    response = answer.get("response") or {}
    for wrapper in ("output", "result"):
        if isinstance(response.get(wrapper), Mapping):
            response = response[wrapper]
    if "error" in response:
        return
    match name:
        case "get_insights":
            facts.read_insights(arguments, response)
        case "get_campaign":
            facts.read_campaign(response)
        case "ask_performance_analyst" | "ask_delivery_analyst":
            facts.read_view(response)
