"""A small agent, as `opoi agent export` would write it, and one run of it."""

from datetime import UTC, datetime
from typing import Any

from opoi_client import Agent, Recorder

NOW = datetime(2026, 3, 10, 9, 30, 0, 123456, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "name": "refunds",
    "version": "1.2.0",
    "actions": {
        "refund": {"arguments": {"amount_minor": {"type": "integer"}}},
        "escalate": {"arguments": {}},
    },
    "tools": {
        "get_order": {"effect": "read", "sets": ["fields"], "sub_agent": None},
        "pay_refund": {"effect": "write", "sets": [], "sub_agent": None},
        "ask_analyst": {"effect": "read", "sets": [], "sub_agent": "analyst"},
    },
    "sub_agents": {"analyst": {"prompt": "You read."}},
    "segment": "{currency}",
    "snapshot": [{"tool": "get_order", "arguments": {"order_id": "{order_id}", "fields": ["paid"]}}],
}
AGENT = Agent(SPEC, "You decide.", [{"name": "get_order"}, {"name": "pay_refund"}])


def recorder(**changes: Any) -> Recorder:
    """A run that is just beginning."""
    known: dict[str, Any] = {
        "decision_id": "d1",
        "account_id": "shop-1",
        "account_time_zone": "Europe/Berlin",
        "currency": "EUR",
        "input": {"order_id": "O1", "currency": "EUR"},
        "model": "policy-1",
        "clock": lambda: NOW,
    }
    return Recorder(AGENT, **(known | changes))
