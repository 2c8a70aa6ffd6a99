"""The gates in order, and the name of their configuration."""

from collections.abc import Callable

from schemas.identity import content_hash
from streams.gates import leak, structural, validity, wrong_oracle
from streams.gates.gate import GateResult, Subject

Gate = Callable[[Subject], GateResult]

GATES: tuple[Gate, ...] = (structural.check, leak.check, validity.check)
VALIDITY_ONLY: tuple[Gate, ...] = (validity.check,)

HASHED: list[dict[str, str | int]] = [
    {"gate": structural.NAME, "version": structural.VERSION},
    {"gate": leak.NAME, "version": leak.VERSION, "run_of_words": leak.RUN_OF_WORDS},
    {"gate": validity.NAME, "version": validity.VERSION},
    {"gate": wrong_oracle.NAME, "version": wrong_oracle.VERSION},
]
"""Which gates judge conversations and their evidence, in which version, with which parameters."""
GATE_SET = content_hash(HASHED)
"""The hash on every record."""


def judge(subject: Subject, gates: tuple[Gate, ...] = GATES) -> tuple[GateResult, ...]:
    """The results up to and with the first refusal."""
    results: list[GateResult] = []
    for gate in gates:
        results.append(gate(subject))
        if not results[-1].passed:
            break
    return tuple(results)
