"""The oracle: small, structural, and nothing is left of the request when its part is taken away."""

import json
from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media_buyer.definition import media_buyer
from agent.model import GeminiModel
from agent.oracle import NoOracle, nonce, render, renderer, where_to_look, with_oracle
from agent.ports import Message, ModelRequest
from agent.settings import ModelSettings
from schemas.identity import canonical_json
from schemas.records import Action, ExpertVerdict, Part, Turn

AGENT = media_buyer()
NONCE = nonce(b"secret", "replay-1")
STEERING = ("correct", "approve")


def verdict(kind="correct", name="scale_down", rationale=None, **arguments):
    corrected = Action(name=name, target="120200000000000010", arguments_json=canonical_json(arguments))
    return ExpertVerdict(
        agent="media-buyer",
        account_id="act_1",
        decision_id="d1",
        verdict_id="v1",
        expert="expert-01",
        kind=kind,
        corrected_action=corrected if kind == "correct" else None,
        rationale=rationale,
        given_at=datetime(2026, 3, 11, tzinfo=UTC),
    )


def test_the_weak_oracle_names_the_action_alone():
    told = render(AGENT.spec, verdict(rationale="CPA yesterday was 44.00", daily_budget=9600), 1, NONCE)
    assert told.splitlines() == [
        f"[note {NONCE}]",
        "Expected action: scale_down (daily_budget 9600).",
        "Decide by your own evidence; do not mention this note.",
        f"[end of note {NONCE}]",
    ]


def test_the_strong_oracle_says_where_to_look_in_the_specs_own_words():
    said = "The cost per purchase of yesterday was 44.00 and 47.10 the day after; stock is low, ask Jane."
    told = render(AGENT.spec, verdict(rationale=said), 2, NONCE)
    assert "Where to look: cpa, yesterday." in told
    for kept_back in ("44", "47", "stock", "Jane", "day after"):
        assert kept_back not in told


def test_a_reason_that_no_tool_knows_leaves_nowhere_to_look():
    said = "Stock of the bestseller is down to a few days."
    assert where_to_look(AGENT.spec, said) == ()
    assert render(AGENT.spec, verdict(rationale=said), 2, NONCE) == render(
        AGENT.spec, verdict(rationale=said), 1, NONCE
    )


def test_the_target_is_not_repeated():
    assert "120200000000000010" not in render(AGENT.spec, verdict(daily_budget=9600), 2, NONCE)


SAFE = 2**53 - 1
numbers = st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE)


@settings(deadline=None)
@given(more=st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), numbers))
def test_no_figure_but_the_actions_own_arguments_is_told(more):
    known = dict(more, daily_budget=9600)
    assert render(AGENT.spec, verdict(**known), 2, NONCE) == render(
        AGENT.spec, verdict(daily_budget=9600), 2, NONCE
    )
    assert "Expected action: pause." in render(AGENT.spec, verdict(name="pause", **known), 2, NONCE)


@pytest.mark.parametrize(
    "arguments",
    ["[9600]", "9600", "null", "", "{", "[" * 100_000, f'{{"daily_budget":{SAFE + 1}}}', '{"a":NaN}'],
)
def test_arguments_that_are_no_object_give_no_oracle(arguments):
    broken = verdict()
    action = broken.corrected_action.model_copy(update={"arguments_json": arguments})
    with pytest.raises(NoOracle, match="the arguments of 'scale_down' are"):
        render(AGENT.spec, broken.model_copy(update={"corrected_action": action}), 1, NONCE)


def test_the_nonce_belongs_to_one_replay_and_needs_the_secret():
    assert len(NONCE) == 32
    assert nonce(b"secret", "replay-2") != NONCE
    assert nonce(b"other", "replay-1") != NONCE
    assert renderer(AGENT.spec, b"secret")(verdict(), 1, "replay-1") == render(
        AGENT.spec, verdict(), 1, NONCE
    )


@pytest.mark.parametrize(
    ("given_verdict", "strength", "text"),
    [
        (verdict("decline"), 1, "kind 'decline' that names no action"),
        (verdict("retract"), 2, "kind 'retract' that names no action"),
        (verdict("approve"), 1, "kind 'approve' that names no action"),
        (verdict(name="double"), 1, "names the action 'double'"),
        (verdict(), 0, "strength 0 is none of 1, 2"),
        (verdict(), 3, "strength 3 is none of 1, 2"),
    ],
)
def test_what_steers_towards_nothing_gives_no_oracle(given_verdict, strength, text):
    with pytest.raises(NoOracle, match=text):
        render(AGENT.spec, given_verdict, strength, NONCE, decided=None)


class Wire:
    """What the real client puts on the wire."""

    def __init__(self):
        self._sent = []
        self._model = GeminiModel(
            ModelSettings(base_url="http://model.invalid"), transport=httpx2.MockTransport(self._keep)
        )

    def _keep(self, request):
        self._sent.append(request.content)
        return httpx2.Response(
            200, json={"candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]}}]}
        )

    def bytes_of(self, question):
        self._model.generate(
            ModelRequest(
                "m", [Message(question)], system=AGENT.system_prompt, declarations=AGENT.declarations, seed=1
            )
        )
        return self._sent[-1]

    def close(self):
        self._model.close()


@pytest.fixture(scope="module")
def wire():
    made = Wire()
    yield made
    made.close()


words = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=80)


@settings(max_examples=60, deadline=None)
@given(
    said=words,
    rationale=words,
    kind=st.sampled_from(STEERING),
    name=st.sampled_from(sorted(AGENT.spec.actions)),
    strength=st.sampled_from((1, 2)),
)
def test_without_its_part_the_request_is_byte_for_byte_the_unhinted_one(
    wire, said, rationale, kind, name, strength
):
    question = Turn(role="user", parts=(Part(kind="text", text=said or "Decide."),))
    decided = Action(name=name, target="c1")
    told = render(AGENT.spec, verdict(kind, name, rationale), strength, NONCE, decided=decided)
    hinted = wire.bytes_of(with_oracle(question, told))
    part = b", " + json.dumps({"text": told}).encode()
    assert hinted.count(part) == 1
    without = hinted.replace(part, b"")
    assert without == wire.bytes_of(question)
    assert NONCE.encode() not in without
