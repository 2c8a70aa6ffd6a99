"""How the support-refund agent thinks: a written rule with a will of its own, no model and no network.

It stands where another agent has a language model. It reads its first turn (a note in it may say what is
expected and where to look), asks tools, and draws what a language model would draw from a seed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

Answer = dict[str, Any] | None
"""What a tool gave; None where it had no answer."""
Ask = Callable[[list[tuple[str, dict[str, Any]]]], list[Answer]]
"""One turn of tool calls, answered in order."""

CURIOSITY = 0.2
"""Share of runs in which it looks at the parcel unasked."""
DOUBT = 0.1
"""Share of runs in which it would rather leave it to a person."""
SUPPORTED, UNSUPPORTED = 0.95, 0.15
"""How often it follows a note that the facts speak for, and one that they do not."""
TOO_MANY_REFUNDS = 1 / 3
MUCH_MONEY = 20_000


@dataclass(frozen=True)
class Decision:
    """What it does, and why in its words."""

    action: str
    target: str
    arguments: dict[str, Any]
    rationale: str

    @property
    def write(self) -> tuple[str, dict[str, Any]] | None:
        """The tool call that carries it out."""
        if self.action == "refund":
            return "pay_refund", {"order_id": self.target, **self.arguments}
        if self.action == "refuse":
            return "close_ticket", {"order_id": self.target, "outcome": "refused"}
        return None


@dataclass
class Facts:
    """What it has seen so far."""

    order: dict[str, Any] = field(default_factory=dict)
    parcel: dict[str, Any] = field(default_factory=dict)
    refund_rate: float | None = None
    refunds_last_week: int | None = None


def decide(texts: list[str], seed: int, ask: Ask) -> Decision:
    """The decision on the request in `texts`, the text parts of the first turn."""
    asked = json.loads(texts[0].split("\n\n", 1)[1])
    note = "\n".join(texts[1:])
    random = Random(seed)
    facts = Facts()
    calls = list(_first_look(asked))
    if "parcel" in note or random.random() < CURIOSITY:
        calls.append(("get_parcel", {"order_id": asked["order_id"]}))
    if "last_7d" in note:
        calls.append(("get_customer_history", _history(asked, "last_7d", ["refunds"])))
    for (tool, arguments), answer in zip(calls, ask(calls), strict=True):
        _learn(facts, tool, arguments, answer)
    expected = next((name for name in ("refund", "refuse", "escalate") if f"action: {name}" in note), None)
    return _judged(asked, facts, expected, random)


def _first_look(asked: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "get_order", {"order_id": asked["order_id"]}
    yield "get_customer_history", {**_history(asked, "last_90d", ["orders", "refunds"]), "by_day": 1}


def _history(asked: dict[str, Any], window: str, fields: list[str]) -> dict[str, Any]:
    return {"customer_id": asked["customer_id"], "window": window, "fields": fields}


def _learn(facts: Facts, tool: str, arguments: dict[str, Any], answer: Answer) -> None:
    if answer is None:
        return
    if tool == "get_order":
        facts.order = answer
    elif tool == "get_parcel":
        facts.parcel = answer
    elif arguments["window"] == "last_90d":
        orders = sum(int(row.get("orders", 0)) for row in answer["days"])
        refunds = sum(int(row.get("refunds", 0)) for row in answer["days"])
        facts.refund_rate = refunds / orders if orders else 0.0
    else:
        facts.refunds_last_week = sum(int(row.get("refunds", 0)) for row in answer["days"])


def _judged(asked: dict[str, Any], facts: Facts, expected: str | None, random: Random) -> Decision:
    own, why = _own_view(asked, facts)
    if random.random() < DOUBT:
        own, why = "escalate", f"{why} The picture is not clean enough to close this alone."
    if expected is not None and expected != own:
        reason = _support(expected, facts)
        if random.random() < (SUPPORTED if reason else UNSUPPORTED):
            own, why = expected, reason or f"On balance {expected} serves this customer best."
    arguments = {"amount_minor": asked["amount_minor"]} if own == "refund" else {}
    return Decision(own, asked["order_id"], arguments, why)


def _own_view(asked: dict[str, Any], facts: Facts) -> tuple[str, str]:
    if facts.parcel:
        if facts.parcel["scan"] == "lost":
            return "refund", "The carrier lost the parcel, so the customer never had the goods."
        if facts.parcel["signed"]:
            return "refuse", "The carrier has a signature for the parcel, so it did arrive."
    if facts.refund_rate is not None and facts.refund_rate > TOO_MANY_REFUNDS:
        return "refuse", f"This customer sent back {facts.refund_rate:.0%} of all orders over 90 days."
    if asked["amount_minor"] > MUCH_MONEY:
        return "escalate", f"{asked['amount_minor']} is too much to decide on what the order shows."
    rate = "an unknown share" if facts.refund_rate is None else f"{facts.refund_rate:.0%}"
    return "refund", f"The customer sent back {rate} of all orders, which is fine, and the amount is small."


def _support(expected: str, facts: Facts) -> str | None:
    """What speaks for it, in its own words; None where nothing does."""
    if expected == "refuse" and (facts.refunds_last_week or 0) >= 2:
        return f"There were {facts.refunds_last_week} refunds within seven days, which is a pattern."
    if expected == "refuse" and facts.parcel.get("signed"):
        return "Somebody signed for the parcel, so there is nothing to pay back."
    if expected == "refund" and facts.parcel.get("scan") == "lost":
        return "The last scan says lost, so money goes back."
    return None
