"""Every reason code of a refusal, by its gate; docs/gates.md has the table."""

from typing import Literal, NamedTuple, cast

ReasonCode = Literal[
    "ok",
    "test_split",
    "declined_without_correction",
    "outcome_already_known",
    "unknown_action",
    "broken_arguments",
    "oracle_missing",
    "oracle_unexpected",
    "oracle_misplaced",
    "request_differs",
    "nonce_left",
    "verbatim",
    "attribution",
    "no_turns",
    "role_order",
    "empty_turn",
    "unpaired_call",
    "no_final_text",
    "no_action",
    "version_skew",
    "not_discriminating",
    "no_completed_run",
    "no_unhinted_hit",
    "action_not_reached",
    "not_hinted",
    "unreplayable",
    "id_conflict",
    "too_late",
    "unknown_replay",
    "too_large",
]
"""A short stable code: records and queries have it, so its meaning never changes."""


class Reason(NamedTuple):
    """A reason for which a gate, or a rule of a stage, refuses."""

    gate: str
    code: ReasonCode
    meaning: str


REASONS: tuple[Reason, ...] = (
    Reason("intake", "test_split", "The account is held out for tests: nothing of it is trained on."),
    Reason("intake", "declined_without_correction", "The expert declined and gave no correction."),
    Reason("intake", "outcome_already_known", "The expert approved with hindsight (`outcome_known`)."),
    Reason("intake", "unknown_action", "The corrected action is not in the AgentSpec."),
    Reason("intake", "broken_arguments", "The arguments of the corrected action are no JSON object."),
    Reason("structural_removal", "oracle_missing", "A hinted run has no oracle."),
    Reason("structural_removal", "oracle_unexpected", "An un-hinted run has an oracle."),
    Reason(
        "structural_removal", "oracle_misplaced", "The oracle is not exactly once in the first user turn."
    ),
    Reason(
        "structural_removal",
        "request_differs",
        "Without the oracle, the request is not the un-hinted request.",
    ),
    Reason("structural_removal", "nonce_left", "A nonce of the oracle is left after the removal."),
    Reason("leak", "verbatim", "The model repeats five words in a row of the oracle or the verdict."),
    Reason("leak", "attribution", "A hinted run speaks of having been advised."),
    Reason("row_validity", "no_turns", "The conversation has no turns."),
    Reason("row_validity", "role_order", "User and model turns do not alternate, beginning with the user."),
    Reason("row_validity", "empty_turn", "A turn has no parts."),
    Reason(
        "row_validity",
        "unpaired_call",
        "A tool call has no response in the next turn, or a response has no call.",
    ),
    Reason("row_validity", "no_final_text", "The last turn is not a text of the model."),
    Reason("row_validity", "no_action", "The conversation ends without an action."),
    Reason("row_validity", "unknown_action", "The action is not in the AgentSpec."),
    Reason(
        "wrong_oracle_control",
        "not_discriminating",
        "Every counted run with a wrong oracle followed it and passed the gates.",
    ),
    Reason("replay_readiness", "version_skew", "The decision's prompt, toolset or model no longer runs."),
    Reason("unhinted_baseline", "no_completed_run", "No un-hinted run completed."),
    Reason("unhinted_baseline", "no_unhinted_hit", "No un-hinted run is a hit."),
    Reason("hinted_runs", "not_hinted", "There was no hinted run."),
    Reason("hinted_runs", "unreplayable", "Every hinted run had a tool miss."),
    Reason("hinted_runs", "action_not_reached", "No hinted run is a hit."),
    Reason("corrector", "action_not_reached", "The corrector's rewrite does not have the expert's action."),
    Reason("join", "id_conflict", "The same id came before with other content, which is kept."),
    Reason("join", "too_late", "The verdict came after the horizon of its decision."),
    Reason("trigger", "unknown_replay", "No open case asked for this replay."),
    Reason("size", "too_large", "An output exceeds the limit of its topic."),
)
"""Every reason code of every gate, in the order of the gates."""


def refused_by(gate: str) -> ReasonCode:
    """The reason code of `hinted_runs` if `gate` refused the last hinted run."""
    # one for each gate that judges conversations, and `gate` may be that of an older version
    return cast(ReasonCode, f"refused_by_{gate}")
