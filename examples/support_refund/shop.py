"""The shop that the support-refund agent works for, simulated: orders, parcels, customers, and an expert.

Everything follows from a case's number, so that anything can be asked in any order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Literal

Kind = Literal["fine", "signed", "pattern", "goodwill", "serial"]
KINDS: tuple[Kind, ...] = ("fine", "signed", "pattern", "goodwill", "serial", "signed")
"""What is behind a request, case after case."""
FIRST_DAY = date(2026, 2, 2)
HISTORY_DAYS = 90
WINDOWS = {"last_7d": 7, "last_30d": 30, "last_90d": 90}
CURRENCY = "EUR"
TIME_ZONE = "Europe/Berlin"
REASONS = {"fine": "damaged", "serial": "wrong_size", "goodwill": "late"}
SHOPS = 8


@dataclass(frozen=True, slots=True)
class Ticket:
    """One customer who wants money back."""

    number: int

    @property
    def kind(self) -> Kind:
        """What is behind it; the agent does not see this."""
        return KINDS[self.number % len(KINDS)]

    @property
    def account_id(self) -> str:
        """The shop."""
        return f"shop-{self.number % SHOPS + 1}"

    @property
    def amount_minor(self) -> int:
        """What was paid."""
        return Random(f"amount/{self.number}").randrange(1_500, 9_000)

    @property
    def decided_at(self) -> datetime:
        """When the agent decides."""
        day = FIRST_DAY + timedelta(days=self.number // 4)
        return datetime(day.year, day.month, day.day, 9, 30, tzinfo=UTC)

    def input(self) -> dict[str, Any]:
        """What the agent is asked, as data."""
        return {
            "amount_minor": self.amount_minor,
            "currency": CURRENCY,
            "customer_id": f"C{self.number}",
            "order_id": f"O{self.number}",
            "reason": REASONS.get(self.kind, "not_arrived"),
        }

    def tools(self) -> Mapping[str, Callable[[Mapping[str, Any]], object]]:
        """The shop's tools as of the decision; writes do what they say, which here is nothing."""
        return {
            "get_order": lambda _: {
                "order_id": f"O{self.number}",
                "amount_minor": self.amount_minor,
                "state": "sent",
            },
            "get_parcel": lambda _: {
                "order_id": f"O{self.number}",
                "scan": "delivered",
                "signed": self.kind == "signed",
            },
            "get_customer_history": self._history,
            "pay_refund": lambda _: {"paid": True},
            "close_ticket": lambda _: {"closed": True},
        }

    def _history(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        today = self.decided_at.date()
        days = [today - timedelta(days=back) for back in range(WINDOWS[arguments["window"]], 0, -1)]
        rows = [self._day(day, (today - day).days) for day in days]
        if arguments.get("by_day") != 1:
            rows = [_total(rows)]
        kept = {"day", "day_end", *arguments["fields"]}
        return {"days": [{name: row[name] for name in row if name in kept} for row in rows]}

    def _day(self, day: date, back: int) -> dict[str, str]:
        random = Random(f"history/{self.number}/{day}")
        orders = int(random.random() < 0.4) + int(back % 7 == 3)
        share = 0.6 if self.kind == "serial" else 0.05
        refunds = sum(random.random() < share for _ in range(orders))
        if self.kind == "pattern" and back in (2, 3, 5):
            orders, refunds = orders + 1, refunds + 1
        spent = sum(random.randrange(1_000, 8_000) for _ in range(orders))
        rate = {"refund_rate": f"{refunds / orders:.6f}"} if orders else {}
        return {
            "day": day.isoformat(),
            "day_end": day.isoformat(),
            "tier": "standard",
            "orders": str(orders),
            "refunds": str(refunds),
            "spend_minor": str(spent),
            **rate,
        }


def _total(rows: list[dict[str, str]]) -> dict[str, str]:
    sums = {name: sum(int(row[name]) for row in rows) for name in ("orders", "refunds", "spend_minor")}
    rate = {"refund_rate": f"{sums['refunds'] / sums['orders']:.6f}"} if sums["orders"] else {}
    return {
        "day": rows[0]["day"],
        "day_end": rows[-1]["day_end"],
        "tier": "standard",
        **{name: str(value) for name, value in sums.items()},
        **rate,
    }


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the shop's expert would have done, and why in the expert's words."""

    action: str
    arguments: Mapping[str, int]
    rationale: str


def judge(ticket: Ticket) -> Judgement:
    """The expert knows the shop: carriers, patterns, and promises that stand in no system."""
    match ticket.kind:
        case "signed":
            return Judgement("refuse", {}, "The carrier's signature settles it: delivery took place.")
        case "pattern":
            return Judgement("refuse", {}, "Too many refunds since last week; somebody is trying us out.")
        case "goodwill":
            half = ticket.amount_minor // 2
            return Judgement("refund", {"amount_minor": half}, "I promised her half of it on the phone.")
        case "serial":
            return Judgement("refuse", {}, "Far beyond any sensible refund rate.")
        case "fine":
            return Judgement("refund", {"amount_minor": ticket.amount_minor}, "Nothing unusual here.")
