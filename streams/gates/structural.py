"""Structural removal: delete exactly the oracle's part, thoughts and signatures, and prove it.

Nothing is ever rewritten. The rest of the request must equal the request without an oracle.
"""

import re

from schemas.identity import content_hash
from schemas.records import AgentDecision, Turn
from streams.gates.gate import GateResult, Subject, turns_hash
from streams.gates.reason_codes import ReasonCode

NAME = "structural_removal"
VERSION = "2"

# a delimiter's nonce: long enough that no agent writes it by chance
_NONCE = re.compile(r"\b[0-9a-f]{12,}\b")


def remove(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The conversation without oracle, thoughts, signatures and token log-probabilities.

    Log-probabilities are removed because they depend on the removed parts.
    """
    cleaned = []
    for turn in turns:
        parts = tuple(
            part.model_copy(update={"signature": None})
            for part in turn.parts
            if not part.is_oracle and part.kind != "thought"
        )
        cleaned.append(turn.model_copy(update={"parts": parts, "log_probabilities": ()}))
    return tuple(cleaned)


def unhinted_request_hash(decision: AgentDecision) -> str:
    """sha256 of the request at the start of a run without an oracle."""
    return _request_hash(decision, decision.turns[:1])


def check(subject: Subject) -> GateResult:
    """Proves the removal on `subject.turns`.

    Reason codes: `oracle_missing`, `oracle_unexpected`, `oracle_misplaced`, `request_differs`,
    `nonce_left`.
    """
    places = [
        (index, turn.role)
        for index, turn in enumerate(subject.turns)
        for part in turn.parts
        if part.is_oracle
    ]
    clean = remove(subject.turns)
    wanted = unhinted_request_hash(subject.decision)
    found = _request_hash(subject.decision, clean[:1])
    left = sum(
        text.count(nonce)
        for nonce in set(_NONCE.findall(subject.oracle))
        for turn in clean
        for part in turn.parts
        for text in (part.text, part.arguments_json, part.response_json, part.error)
        if text
    )
    code: ReasonCode
    if subject.hinted and not places:
        code = "oracle_missing"
    elif not subject.hinted and places:
        code = "oracle_unexpected"
    elif subject.hinted and places != [(0, "user")]:
        code = "oracle_misplaced"
    elif found != wanted:
        code = "request_differs"
    elif left:
        code = "nonce_left"
    else:
        code = "ok"
    removed = sum(len((part.text or "").encode()) for turn in subject.turns for part in turn.parts) - sum(
        len((part.text or "").encode()) for turn in clean for part in turn.parts
    )
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="pass" if code == "ok" else "reject",
        reason_code=code,
        input_hash=turns_hash(subject.turns),
        evidence={
            "unhinted_request_hash": wanted,
            "cleaned_request_hash": found,
            "oracle_at": [list(place) for place in places],
        },
        metrics={"bytes_removed": float(removed), "nonces_left": float(left)},
    )


def _request_hash(decision: AgentDecision, first: tuple[Turn, ...]) -> str:
    return content_hash(
        {
            "prompt_id": decision.prompt_id,
            "toolset_id": decision.toolset_id,
            "contents": [
                {"role": turn.role, "parts": [{"kind": part.kind, "text": part.text} for part in turn.parts]}
                for turn in first
            ],
        }
    )
