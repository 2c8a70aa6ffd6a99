"""What the client records: tools' answers as JSON or as errors that no replay uses, turns that alternate."""

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi_client import Agent, Conversation, call

AGENT = Agent(
    {
        "tools": {
            "get_order": {"effect": "read", "sets": [], "sub_agent": None},
            "ask_analyst": {"effect": "read", "sets": [], "sub_agent": "analyst"},
        }
    },
    "You decide.",
    [],
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
    | st.just(Decimal(1)) | st.just(datetime(2026, 3, 10, tzinfo=UTC))
)  # fmt: skip
ANSWERS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=10,
)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Any:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@given(ANSWERS, st.sampled_from(["get_order", "ask_analyst"]))
def test_an_answer_is_given_as_it_is_and_recorded_as_json_or_as_an_error(answer: Any, tool: str) -> None:
    talk = Conversation(AGENT)
    assert talk.tools({tool: lambda: answer})[tool]() is answer
    (part,) = talk.turns()[-1]["parts"]
    if "error" in part:
        assert part.keys() & {"request_hash", "response_json"} == set()
    else:
        json.loads(part["response_json"].encode())
        assert ("request_hash" in part) == (tool == "get_order")


TOLD = st.lists(st.text(min_size=1), max_size=2)


@given(TOLD, st.lists(st.tuples(st.integers(0, 2), TOLD, st.booleans()), max_size=4))
def test_no_turn_of_the_agents_follows_another_and_nothing_told_is_lost(
    first: list[str], rounds: list[tuple[int, list[str], bool]]
) -> None:
    talk = Conversation(AGENT)
    told = ["Decide.", *first]
    for words in told:
        talk.user(words)
    for calls, more, looked_at in rounds:
        talk.model(*(call("get_order", {"order_id": number}) for number in range(calls)))
        if looked_at:
            talk.turns()
        for words in more:
            talk.user(words)
        told += more
    turns = talk.turns()
    assert turns[0]["role"] == "user"
    roles = [turn["role"] for turn in turns]
    assert ("user", "user") not in list(pairwise(roles))
    assert [part["text"] for turn in turns for part in turn["parts"] if part["kind"] == "text"] == told
