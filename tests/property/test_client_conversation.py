"""Whatever a tool answers reaches the agent, and is recorded as JSON or as an error that no replay uses."""

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi_client import Agent, Conversation

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
