"""Row validity: could this conversation be a row of a training file as it is?"""

from streams.gates.gate import GateResult, Subject, turns_hash
from streams.gates.reason_codes import ReasonCode
from streams.gates.structural import remove

NAME = "row_validity"
VERSION = "1"


def check(subject: Subject) -> GateResult:
    """Checks the conversation after structural removal.

    Reason codes: `no_turns`, `role_order`, `unpaired_call`, `empty_turn`, `no_final_text`,
    `no_action`, `unknown_action`.
    """
    turns = remove(subject.turns)
    code: ReasonCode = "ok"
    if not turns:
        code = "no_turns"
    elif [turn.role for turn in turns] != [("user", "model")[index % 2] for index in range(len(turns))]:
        code = "role_order"
    elif not all(turn.parts for turn in turns):
        code = "empty_turn"
    elif not _paired(subject):
        code = "unpaired_call"
    elif turns[-1].role != "model" or not any(part.text for part in turns[-1].parts):
        code = "no_final_text"
    elif subject.action is None:
        code = "no_action"
    elif subject.action.name not in subject.common.actions:
        code = "unknown_action"
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="pass" if code == "ok" else "reject",
        reason_code=code,
        input_hash=turns_hash(turns),
        evidence={"action": subject.action.name if subject.action else None},
        metrics={"turns": float(len(turns))},
    )


def _paired(subject: Subject) -> bool:
    """Whether the next turn answers every call of a turn, in order, and nothing else."""
    asked: list[str | None] = []
    for turn in subject.turns:
        answered = [part.tool for part in turn.parts if part.kind == "function_response"]
        if answered != asked:
            return False
        asked = [part.tool for part in turn.parts if part.kind == "function_call"]
    return not asked
