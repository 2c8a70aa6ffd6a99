"""Every reason code of a refusal, by the gate that gives it; docs/gates.md shows the table."""

from collections.abc import Mapping
from typing import Literal, cast

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
"""A short stable code: it is in records and in queries, so it never changes its meaning."""

REASON_CODES: Mapping[str, Mapping[ReasonCode, str]] = {
    "intake": {
        "test_split": "The account is held out for tests: nothing of it is trained on.",
        "declined_without_correction": "The expert declined and gave no correction.",
        "outcome_already_known": "The expert approved with hindsight (`outcome_known`).",
        "unknown_action": "The corrected action is not in the AgentSpec.",
        "broken_arguments": "The arguments of the corrected action are no JSON object.",
    },
    "structural_removal": {
        "oracle_missing": "A hinted run has no oracle.",
        "oracle_unexpected": "An un-hinted run has an oracle.",
        "oracle_misplaced": "The oracle is not exactly once in the first user turn.",
        "request_differs": "Without the oracle, the request is not the un-hinted request.",
        "nonce_left": "A nonce of the oracle is left after the removal.",
    },
    "leak": {
        "verbatim": "The model repeats five words in a row of the oracle or the verdict.",
        "attribution": "A hinted run speaks of having been advised.",
    },
    "row_validity": {
        "no_turns": "The conversation has no turns.",
        "role_order": "User and model turns do not alternate, beginning with the user.",
        "empty_turn": "A turn has no parts.",
        "unpaired_call": "A tool call has no response in the next turn, or a response has no call.",
        "no_final_text": "The last turn is not a text of the model.",
        "no_action": "The conversation ends without an action.",
        "unknown_action": "The action is not in the AgentSpec.",
    },
    "wrong_oracle_control": {
        "not_discriminating": "Every counted run with a wrong oracle followed it and passed the gates.",
    },
    "replay_readiness": {
        "version_skew": "The decision's prompt, toolset or model no longer runs.",
    },
    "unhinted_baseline": {
        "no_completed_run": "No un-hinted run completed.",
        "no_unhinted_hit": "No un-hinted run is a hit.",
    },
    "hinted_runs": {
        "not_hinted": "There was no hinted run.",
        "unreplayable": "Every hinted run had a tool miss.",
        "action_not_reached": "No hinted run is a hit.",
    },
    "corrector": {
        "action_not_reached": "The corrector's rewrite does not have the expert's action.",
    },
    "join": {
        "id_conflict": "The same id came before with other content, which is kept.",
        "too_late": "The verdict came after the horizon of its decision.",
    },
    "trigger": {
        "unknown_replay": "No open case asked for this replay.",
    },
    "size": {
        "too_large": "An output exceeds the limit of its topic.",
    },
}
"""Gate or rule, its reason codes, what each means."""


def refused_by(gate: str) -> ReasonCode:
    """The reason code of `hinted_runs` where `gate` refused the last hinted run."""
    # one for each gate that judges conversations, and `gate` may be that of an older version
    return cast(ReasonCode, f"refused_by_{gate}")
