"""A conversation with the local model, run without a server: the request, its tools, the loop."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from local_stack.model.answers import conversation_of
from local_stack.model.conversation import Conversation
from local_stack.model.rendering import render
from local_stack.model.sampling import Sampled, Sampling, generate, stream_of
from local_stack.model.weights import Weights
from local_stack.model.wire import read_prompt

CAMPAIGN = "120330001"
DAY = date(2026, 3, 10)
TOOLS = ("get_insights", "get_campaign", "set_daily_budget", "set_status")
SYSTEM = {"parts": [{"text": "You are the media buyer of a performance marketing team."}]}
Content = dict[str, Any]


def declarations(names: tuple[str, ...] = TOOLS) -> list[dict[str, Any]]:
    """The tools member of a request."""
    return [{"functionDeclarations": [{"name": name, "description": name} for name in names]}]


def question(note: str | None = None, currency: str = "USD") -> Content:
    """The first content: the request, and the note as a part of its own."""
    request = {
        "account_id": "act_1",
        "campaign_id": CAMPAIGN,
        "date": DAY.isoformat(),
        "time_zone": "Europe/Berlin",
        "currency": currency,
        "target_cpa_minor": 2000,
        "target_roas": 2.0,
    }
    text = f"Decide on campaign {CAMPAIGN} of account act_1 for {DAY}.\n\n{json.dumps(request)}"
    return {"role": "user", "parts": [{"text": text}, *([{"text": note}] if note else [])]}


@dataclass(frozen=True)
class Figures:
    """What the tools answer: spend and purchases of each of the last seven days, the newest last."""

    spend: tuple[float, ...] = (100.0,) * 7
    purchases: tuple[int, ...] = (5,) * 7
    order_value: float = 40.0
    budget: int = 10_000
    status: str = "ACTIVE"
    learning: str = "SUCCESS"
    fails: frozenset[str] = frozenset()

    def answer(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's response."""
        arguments = call["args"]
        if call["name"] in self.fails:
            return {"error": "nothing was recorded for this request"}
        if call["name"] == "get_campaign":
            return {
                "id": CAMPAIGN,
                "name": "Sales",
                "daily_budget": str(self.budget),
                "status": self.status,
                "effective_status": self.status,
                "learning_stage_info": {"status": self.learning},
            }
        if call["name"] != "get_insights":
            return {"success": True}
        days = {"yesterday": 1, "last_3d": 3, "last_7d": 7}[arguments["date_preset"]]
        rows = []
        for back in range(days, 0, -1):
            day = (DAY - timedelta(days=back)).isoformat()
            spend, purchases = self.spend[-back], self.purchases[-back]
            row: dict[str, Any] = {"date_start": day, "date_stop": day, "spend": f"{spend:.2f}"}
            if purchases:
                row["actions"] = [{"action_type": "purchase", "value": str(purchases)}]
                returned = purchases * self.order_value / spend
                row["purchase_roas"] = [{"action_type": "omni_purchase", "value": f"{returned:.6f}"}]
            rows.append(row)
        return {"data": rows}


def drawn_figures(dice: random.Random) -> Figures:
    """Figures of a campaign somewhere around its targets."""
    level = dice.gauss(0.0, 0.35)
    purchases = tuple(max(0, round(5 * 2.718 ** (level + dice.gauss(0.0, 0.3)))) for _ in range(7))
    spend = tuple(round(dice.uniform(80.0, 120.0), 2) for _ in range(7))
    return Figures(spend, purchases, learning=dice.choice(("SUCCESS", "SUCCESS", "SUCCESS", "LEARNING")))


@dataclass
class Talk:
    """A whole run."""

    contents: list[Content]
    turns: list[Sampled] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def conversation(self, names: tuple[str, ...] = TOOLS) -> Conversation:
        """The run as the model reads it back from its contents."""
        return read({"contents": self.contents, "systemInstruction": SYSTEM, "tools": declarations(names)})


def read(body: Mapping[str, Any]) -> Conversation:
    """A request body as the model sees it."""
    return conversation_of(read_prompt(body))


def talk(
    weights: Weights,
    figures: Figures | None = None,
    *,
    seed: int = 0,
    note: str | None = None,
    temperature: float = 1.0,
    names: tuple[str, ...] = TOOLS,
    currency: str = "USD",
) -> Talk:
    """Let the model decide, its tools answering from `figures`."""
    figures = figures or Figures()
    run = Talk([question(note, currency)])
    while len(run.turns) < 8:
        conversation = run.conversation(names)
        turn = generate(
            weights, conversation, Sampling(temperature, seed=seed), stream_of(seed, conversation)
        )
        parts = render(turn.tokens, conversation.facts).parts
        run.turns.append(turn)
        run.contents.append({"role": "model", "parts": parts})
        for part in parts:
            if part.get("text", "").startswith("{"):
                run.decision = json.loads(part["text"])
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        if not calls:
            return run
        run.calls += calls
        answers = [
            {"functionResponse": {"name": call["name"], "response": figures.answer(call)}} for call in calls
        ]
        run.contents.append({"role": "user", "parts": answers})
    raise AssertionError(f"the model does not come to an end: {run.contents}")
