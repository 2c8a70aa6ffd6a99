"""A first leak gate: oracle text carried over, and talk about having been advised.

Verbatim: five words in a row that the conversation shares with the oracle or the verdict, and that
neither prompt, tools, AgentSpec, input nor an earlier tool response has. Only earlier text counts as known,
because later text may echo a leak. An error in place of a tool's answer may be the agent's own text, so it is
checked like the model's text, and its words do not count as known.
"""

import re
import unicodedata
from collections.abc import Iterable

from streams.gates.gate import GateResult, Subject, generated_text, turns_hash
from streams.gates.reason_codes import ReasonCode

NAME = "leak"
VERSION = "2"
RUN_OF_WORDS = 5

Run = tuple[str, ...]

_WORD = re.compile(r"\w+")
_ATTRIBUTION = re.compile(
    r"\b(?:"
    r"(?:as|like) (?:was |were )?(?:advised|instructed|suggested|recommended|requested|noted|told|hinted)"
    r"|(?:per|following|given|based on|according to|in line with) (?:the |this |that |an? |your |my )?"
    r"(?:expert|reviewer|review|note|hint|advice|guidance|feedback|instruction|suggestion|recommendation)"
    r"|the (?:expert|reviewer|oracle|hint|steering note|note above)"
    r"|i (?:was|have been|am) (?:told|advised|instructed|asked) to"
    r"|(?:desired|expected|correct|suggested|recommended) (?:action|answer|decision) is"
    r"|to justify (?:the|this|that)"
    r")\b"
)


def words(text: str) -> list[str]:
    """Words of a text: NFKC, case folded, punctuation dropped."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def runs(text: str, length: int = RUN_OF_WORDS) -> set[Run]:
    """All sequences of `length` words in a row."""
    found = words(text)
    return {tuple(found[start : start + length]) for start in range(len(found) - length + 1)}


def check(subject: Subject) -> GateResult:
    """Reason codes: `verbatim`, `attribution`."""
    secret = runs(subject.oracle) | runs(subject.verdict.rationale or "")
    known = _all_runs((subject.common.prompt, subject.common.toolset, subject.common.spec))
    shared: list[str] = []
    attributed: list[str] = []
    scanned = 0
    for turn in subject.turns:
        for part in turn.parts:
            if part.is_oracle:
                continue
            if turn.role == "user":
                known |= _all_runs((part.text or "", part.response_json or ""))
                # the one text, besides the model's own, that an agent may have invented
                text = part.error or ""
            else:
                text = generated_text(part)
            scanned += len(words(text))
            shared += [" ".join(run) for run in sorted((runs(text) & secret) - known)]
            attributed += [found.group(0) for found in _ATTRIBUTION.finditer(" ".join(words(text)))]
    code: ReasonCode = "verbatim" if shared else "attribution" if attributed and subject.hinted else "ok"
    return GateResult(
        gate=NAME,
        version=VERSION,
        outcome="pass" if code == "ok" else "reject",
        reason_code=code,
        input_hash=turns_hash(subject.turns),
        evidence={"shared_runs": shared[:20], "attribution": attributed[:20]},
        metrics={
            "words_scanned": float(scanned),
            "shared_runs": float(len(shared)),
            "attribution_phrases": float(len(attributed)),
        },
    )


def _all_runs(texts: Iterable[str]) -> set[Run]:
    found: set[Run] = set()
    for text in texts:
        found |= runs(text)
    return found
