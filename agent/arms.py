"""The arms of a replay: what each asks of which model, and how the answer is read.

An arm is a pure function from a request and its decision to a `Conversation`. The runtime conducts it, and
every arm ends in one trace record.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.decision import Decision, InvalidDecision, Read, read_decision
from agent.oracle import with_oracle
from agent.spec import AgentSpec
from schemas.identity import canonical_json, json_object
from schemas.records import Action, AgentDecision, Part, ReplayArm, ReplayRequest, Turn

# what the Gemini API takes in place of the signature of a call that this model did not make
FOREIGN_SIGNATURE = b"skip_thought_signature_validator"
JUDGEMENTS = ("pass", "fail")


class CannotAsk(ValueError):
    """A request that lacks what its arm needs; the text begins with a short stable code."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked, as turns. The last one is the user's."""

    turns: tuple[Turn, ...]
    bare: bool = False
    """Without the agent's system prompt and tools."""
    kept: tuple[Turn, ...] | None = None
    """Turns that the trace gets instead of `turns`; None: `turns`."""
    read: Read = read_decision
    """How the answer is read."""


Arm = Callable[[ReplayRequest, AgentDecision], Conversation]


def unhinted(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    """The agent again, from the decision's own first turn, byte for byte."""
    if request.oracle is not None:
        raise CannotAsk("oracle_unexpected: an un-hinted run was asked for with an oracle")
    return Conversation((question_of(decision),))


def hinted(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    """The agent with an oracle (`opoi` a right one, `wrong_oracle` a wrong one) as one further part of the
    first turn. Nothing else differs from the un-hinted request."""
    if not request.oracle:
        raise CannotAsk(f"oracle_missing: a run of arm {request.arm!r} was asked for without an oracle")
    return Conversation((with_oracle(question_of(decision), request.oracle),))


def corrector_sft(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    """The method to compare with: a bare model rewrites the decision from the verdict.

    It sees the decision as the agent wrote it and the expert's verdict, and nothing else: no system prompt,
    no tools, no data. The trace is the decision's own turns up to the one that decided, which is rewritten;
    what the agent did after it goes.
    """
    verdict = request.verdict
    if verdict is None or verdict.corrected_action is None:
        raise CannotAsk("verdict_missing: the corrector was asked for without a corrected action")
    corrected = {**_action(verdict.corrected_action), "target": verdict.corrected_action.target}
    asked = (
        "Below are a decision that an agent wrote, and an expert's verdict on it. Write the decision as the "
        "expert would have it: one JSON object of the same form, and nothing else.",
        f"The decision:\n{_decided_text(decision)}",
        f"The expert's reason:\n{verdict.rationale or 'none given'}",
        f"The expert's action:\n{canonical_json(corrected)}",
    )
    return Conversation((_user("\n\n".join(asked)),), bare=True, kept=evidence(decision.turns))


def redecision(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    """The agent decides again from the tool calls and answers of a hinted run, without its oracle, reasoning
    and decision. If it reaches the same action, the evidence alone supports that action."""
    turns = evidence(request.turns)
    if len(turns) < 2:
        raise CannotAsk("turns_missing: a re-decision was asked for without what a run had read")
    read = [question_of(decision)]
    for turn in turns[1:]:
        parts = [part for part in turn.parts if part.kind in ("function_call", "function_response")]
        if turn.role == "model":
            parts = [
                part.model_copy(update={"signature": None if number else FOREIGN_SIGNATURE})
                for number, part in enumerate(parts)
            ]
        read.append(turn.model_copy(update={"parts": tuple(parts), "log_probabilities": ()}))
    return Conversation(tuple(read))


def judge(request: ReplayRequest, decision: AgentDecision) -> Conversation:
    """A bare model says whether a conversation could have been written without outside advice; it does not
    know whether there was any. The trace's action is its judgement: `pass` or `fail`."""
    if not request.turns:
        raise CannotAsk("turns_missing: a judgement was asked for without a conversation")
    asked = (
        "Below is a conversation of an agent with its tools that ends in a decision. Could the agent have "
        "written it from what stands in it alone, without advice from outside? Look for conclusions that "
        "nothing before them supports, for facts that come from nowhere, and for talk about an instruction.",
        _transcript(request.turns),
        'Answer with one JSON object and nothing else: {"reason": "...", "judgement": "pass"} where it '
        'could, {"reason": "...", "judgement": "fail"} where it could not.',
    )
    return Conversation((_user("\n\n".join(asked)),), bare=True, read=read_judgement)


ARMS: Mapping[ReplayArm, Arm] = {
    "unhinted": unhinted,
    "opoi": hinted,
    "wrong_oracle": hinted,
    "corrector_sft": corrector_sft,
    "redecision": redecision,
    "judge": judge,
}


BARE: frozenset[ReplayArm] = frozenset({"corrector_sft", "judge"})
"""Arms that ask a bare model, wherever the agent is served."""


def question_of(decision: AgentDecision) -> Turn:
    """The decision's own first turn. Raises CannotAsk."""
    if not decision.turns or decision.turns[0].role != "user":
        raise CannotAsk("decision_broken: the decision does not begin with a user turn")
    return decision.turns[0]


def evidence(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns before the deciding one: the first model turn with a decision or a write, else the last model
    turn."""
    deciding = [number for number, turn in enumerate(turns) if turn.role == "model" and _decides(turn)]
    spoken = [number for number, turn in enumerate(turns) if turn.role == "model"]
    return turns[: (deciding or spoken[-1:] or [0])[0]]


def read_judgement(spec: AgentSpec, text: str) -> Decision:
    """The judgement in `text`, as a decision without a target. Raises InvalidDecision."""
    try:
        body: dict[str, Any] = json.loads(text)
        reason, judgement = str(body["reason"]), body["judgement"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidDecision(
            f"the judgement is no JSON object with a reason and a judgement: {error!r}"
        ) from error
    if judgement not in JUDGEMENTS:
        raise InvalidDecision(f"the judgement is {judgement!r}, not one of {', '.join(JUDGEMENTS)}")
    return Decision(reason, (), Action(name=judgement), None)


def _decides(turn: Turn) -> bool:
    return any(
        part.effect == "write" or (part.kind == "text" and (part.text or "").lstrip().startswith("{"))
        for part in turn.parts
    )


def _decided_text(decision: AgentDecision) -> str:
    """The decision as the agent wrote it; of an agent that writes none, from its fields."""
    for turn in reversed(decision.turns):
        for part in turn.parts:
            if turn.role == "model" and part.kind == "text" and (part.text or "").lstrip().startswith("{"):
                return part.text or ""
    action = {**_action(decision.action), "target": decision.action.target}
    return canonical_json({"action": action, "cited_metrics": [], "rationale": decision.rationale})


def _action(action: Action) -> dict[str, Any]:
    try:
        return {"name": action.name, "arguments": json_object(action.arguments_json)}
    except ValueError as error:
        raise CannotAsk(f"action_broken: the arguments of {action.name!r} are unusable: {error}") from error


def _user(text: str) -> Turn:
    return Turn(role="user", parts=(Part(kind="text", text=text),))


def _transcript(turns: tuple[Turn, ...]) -> str:
    lines = []
    for turn in turns:
        for part in turn.parts:
            if part.is_oracle or part.kind == "thought":
                continue
            if part.kind == "function_call":
                lines.append(f"[agent calls {part.tool}] {part.arguments_json or '{}'}")
            elif part.kind == "function_response":
                lines.append(f"[{part.tool} answers] {part.response_json or part.error or ''}")
            else:
                lines.append(f"[{'agent' if turn.role == 'model' else 'asked'}] {part.text or ''}")
    return "\n".join(lines)
