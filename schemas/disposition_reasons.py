"""Every reason of a disposition: what became of an input, and why.

Reasons are on the wire: one never changes its meaning. A disposition `dead` has the kind of its dead letter
(`schemas.dead_letter_kinds`), one `rejected` may have the reason code of a gate
(`streams.gates.reason_codes`).
`make generate` writes the table in docs/dispositions.md.
"""

from typing import Literal, NamedTuple

from schemas.records import DispositionOutcome, ReviewStatus, TraceStatus, VerdictKind

StopReason = Literal[
    "unhinted_hit",
    "opoi_hit",
    "tries_used_up",
    "test_split",
    "version_skew",
    "budget_attempts",
    "budget_tokens",
    "budget_seconds",
    "budget_cost",
    "budget_day",
    "deadline",
]
"""Why a case asked for no more runs."""

OwnReason = Literal[
    "same_bytes",
    "agrees",
    "older_revision",
    "newer_revision",
    "retracted_before_its_decision",
    "nothing_to_retract",
    "awaiting_decision",
    "awaiting_verdict",
    "awaiting_traces",
    "older_review",
    "same_verdict",
    "newer_verdict",
    "earlier_case",
    "duplicate_run",
    "case_is_closed",
    "closed",
    "in_flight",
    "past_deadline",
    "1_examples",
    "2_examples",
    "3_examples",
    "4_examples",
    "no_example",
]
"""Reasons that only dispositions have."""

ListedReason = OwnReason | StopReason | ReviewStatus | TraceStatus | VerdictKind


class Reason(NamedTuple):
    """Why an input has one of `outcomes`."""

    code: ListedReason
    outcomes: tuple[DispositionOutcome, ...]
    meaning: str
    remedy: str = "-"


_RAISE = "raise the budget if such cases matter (docs/operations.md)"

REASONS: tuple[Reason, ...] = (
    Reason("joined", ("emitted",), "A review pairs the decision with the verdict that counts."),
    Reason("awaiting_decision", ("pending",), "The verdict came before its decision."),
    Reason("awaiting_verdict", ("pending",), "The decision has no verdict yet."),
    Reason("no_verdict", ("expired",), "No verdict came within `OPOI_PIPELINE__VERDICT_WAIT_DAYS`."),
    Reason(
        "decision_missing",
        ("expired",),
        "No decision came within `OPOI_PIPELINE__DECISION_WAIT_HOURS`.",
        "send the decision, then the verdict under a new revision",
    ),
    Reason(
        "conflict",
        ("emitted", "pending", "withdrawn"),
        "Experts disagree; nothing of the decision counts until one adjudicates.",
        "send a verdict that names the others in `adjudicates`",
    ),
    Reason("retracted", ("emitted", "withdrawn"), "The verdict that counted was taken back."),
    Reason("same_bytes", ("duplicate",), "The same record came before."),
    Reason("agrees", ("duplicate",), "The verdict agrees with the one that counts."),
    Reason("older_revision", ("superseded",), "A later revision came before."),
    Reason("newer_revision", ("superseded", "withdrawn"), "A later revision came while it waited."),
    Reason("retracted_before_its_decision", ("withdrawn",), "The verdict was taken back while it waited."),
    Reason("nothing_to_retract", ("withdrawn",), "No verdict stood that could be taken back."),
    Reason("awaiting_traces", ("pending",), "The case waits for replays that it asked for."),
    Reason("older_review", ("superseded",), "A later review has the case."),
    Reason("same_verdict", ("duplicate",), "The case is about this very verdict."),
    Reason("newer_verdict", ("superseded",), "Another verdict counts; the case of this one is over."),
    Reason("earlier_case", ("superseded",), "The trace says that an earlier case's run was skipped."),
    Reason("duplicate_run", ("duplicate",), "The case has a trace of this replay."),
    Reason("case_is_closed", ("superseded",), "The trace came after its case had closed."),
    Reason("closed", ("emitted",), "The case is closed and its bytes are forgotten."),
    Reason("unhinted_hit", ("emitted",), "A run without a hint took the expert's action."),
    Reason("opoi_hit", ("emitted",), "A hinted run took the expert's action and passed the gates."),
    Reason("tries_used_up", ("emitted",), "No hinted run took the expert's action in all samples."),
    Reason("test_split", ("emitted",), "The account is held out for tests: no hinted run."),
    Reason(
        "version_skew",
        ("emitted",),
        "The decision's prompt, tools or model no longer run.",
        "register or serve that version; `cases.missing` names it",
    ),
    Reason("budget_attempts", ("emitted",), "The case used up its attempts.", _RAISE),
    Reason("budget_tokens", ("emitted",), "The case used up its tokens.", _RAISE),
    Reason("budget_seconds", ("emitted",), "The case used up its seconds.", _RAISE),
    Reason("budget_cost", ("emitted",), "The case used up its money.", _RAISE),
    Reason("budget_day", ("emitted",), "The agent used up its budget of the day.", _RAISE),
    Reason(
        "deadline",
        ("emitted",),
        "The case's time was over; it closed with what there was.",
        "`opoi replay status`",
    ),
    Reason("approve", ("emitted",), "The expert approved: no run is needed."),
    Reason("decline", ("emitted",), "The expert declined without a correction: no run is possible."),
    Reason("completed", ("emitted",), "The run ended with an action."),
    Reason("invalid", ("emitted",), "The run ended without a usable action."),
    Reason("refused", ("emitted",), "The model refused to answer."),
    Reason("exhausted", ("emitted",), "The run, or its agent's day, used up its budget.", _RAISE),
    Reason("failed", ("emitted",), "The run failed; the trace's reason says why.", "`opoi replay show`"),
    Reason("cancelled", ("emitted", "superseded"), "Another verdict took the place of the request's."),
    Reason("in_flight", ("duplicate",), "The same replay runs already."),
    Reason(
        "past_deadline",
        ("superseded",),
        "The case's deadline passed before the run; the trace says what it waited for.",
        "add workers, or restore what was unreachable",
    ),
    Reason("1_examples", ("emitted",), "One dataset arm got a row."),
    Reason("2_examples", ("emitted",), "Two dataset arms got a row."),
    Reason("3_examples", ("emitted",), "Three dataset arms got a row."),
    Reason("4_examples", ("emitted",), "All four dataset arms got a row."),
    Reason("no_example", ("rejected",), "Every dataset arm was refused.", "`opoi sql rejections`"),
)
"""Every reason with its meaning and remedy; `correct` and `retract` are the reason of none."""
