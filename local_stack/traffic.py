"""Production traffic for trials: the real agent, on a model, against the local ads platform.

Decisions are about days of a simulated calendar, day by day and many at once within a day, because a
campaign's budget of today shows in its figures of tomorrow.
"""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

import structlog

from agent.media_buyer.definition import DecisionRequest, media_buyer
from agent.media_buyer.limits import LIMITS
from agent.media_buyer.tools import live_tools
from agent.ports import GenerationConfig, Model
from agent.recorder import NotADecision, Setting, record, take_snapshot
from agent.run import AgentDefinition, Limits
from agent.runtime import Runtime
from agent.settings import AdsSettings
from schemas.identity import content_hash
from schemas.log_events import NO_DECISION
from schemas.records import AgentDecision

log = structlog.get_logger(__name__)

FIRST_DAY = date(2026, 1, 12)
"""A Monday; the local world has run for a while before it."""
OFFICE_HOUR = 9
ATTRIBUTION = "7d_click_1d_view"
DEFAULT_CONFIG = GenerationConfig(temperature=0.5)


class PlatformAway(ConnectionError):
    """The local ads platform does not answer; the text has its URL."""


@dataclass(frozen=True, slots=True)
class Production:
    """Agent, model and platform of the decisions. `concurrency` runs are in flight at once."""

    model: Model
    model_name: str
    ads: AdsSettings
    config: GenerationConfig = DEFAULT_CONFIG
    limits: Limits = field(
        default_factory=lambda: Limits(
            max_turns=int(LIMITS["most_turns"].value),
            max_seconds=120.0,
            tool_seconds=float(LIMITS["tool_seconds"].value),
            max_response_bytes=int(LIMITS["longest_answer_bytes"].value),
            max_corrections=int(LIMITS["most_corrections"].value),
        )
    )
    concurrency: int = 8
    agent: AgentDefinition = field(default_factory=media_buyer)

    def decide(
        self, n: int, seed: int, *, first_day: date = FIRST_DAY, days: int | None = None
    ) -> Iterator[AgentDecision]:
        """`n` decisions, spread evenly over `days` (None: as few as the campaigns allow), in order of time.

        The same arguments request the same decisions. A run without a decision is logged and missing.
        Raises PlatformAway, ModelAway, QuotaExceeded.
        """
        orders = self._orders()
        days = max(1, math.ceil(n / len(orders))) if days is None else days
        if n > days * len(orders):
            raise ValueError(
                f"{n} decisions do not fit into {days} days of {len(orders)} campaigns; take more days"
            )
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="decide") as pool:
            for number in range(days):
                day = first_day + timedelta(days=number)
                today = Random(f"{seed}/{day}").sample(orders, (number + 1) * n // days - number * n // days)
                for decision in pool.map(lambda order, day=day: self._decide(order, day, seed), today):
                    if decision is not None:
                        yield decision

    def shift(
        self, start: date, *, cost: float = 1.0, conversion: float = 1.0, currency: str | None = None
    ) -> None:
        """Change the world from `start` on: dearer impressions, rarer purchases. Raises PlatformAway."""
        body = {"start": start.isoformat(), "cost": cost, "conversion": conversion, "currency": currency}
        self._ask("/local/shift", body)

    def reset(self) -> None:
        """Undo what earlier runs changed on the platform. Raises PlatformAway."""
        self._ask("/local/reset", {})

    def _orders(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self._ask("/local/campaigns", None)
        return orders

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.ads.graph_url}{path}", data, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except (URLError, TimeoutError) as error:
            raise PlatformAway(
                f"no local ads platform at {self.ads.graph_url}: {error}; start it with `opoi up`"
            ) from error

    def _decide(self, order: dict[str, Any], day: date, seed: int) -> AgentDecision | None:
        asked = DecisionRequest(date=day, **order)
        values = asked.model_dump(mode="json")
        run_id = f"{day:%Y%m%d}-{asked.campaign_id}-{self._batch(seed)}"
        decided_at = _office_time(asked, run_id)
        headers = {"X-Local-Now": decided_at.isoformat()}
        with live_tools(self.agent, self.ads, lambda: decided_at, headers) as tools:
            snapshot = take_snapshot(self.agent.spec, tools, values, decided_at)
            run = Runtime(self.model, self.limits).run(
                self.agent,
                asked.turn(),
                tools,
                model_name=self.model_name,
                config=self.config,
                run_id=run_id,
                values=values,
            )
        setting = Setting(
            run_id,
            asked.account_id,
            asked.time_zone,
            asked.currency,
            values,
            self.model_name,
            self.config,
            ATTRIBUTION,
        )
        try:
            return record(self.agent, setting, run, decided_at=decided_at, snapshot=snapshot)
        except NotADecision as error:
            NO_DECISION.emit(log, decision_id=run_id, reason=str(error))
            return None

    def _batch(self, seed: int) -> str:
        """Distinguishes decisions about the same day by other seeds, models, settings or prompts."""
        means = [seed, self.model_name, self.config.model_dump(mode="json"), self.agent.prompt_id]
        return content_hash(means)[:8]


def _office_time(asked: DecisionRequest, run_id: str) -> datetime:
    """A moment in the first office hour of the account's day, UTC."""
    start = datetime.combine(asked.date, time(OFFICE_HOUR), ZoneInfo(asked.time_zone)).astimezone(UTC)
    return start + timedelta(seconds=Random(run_id).randrange(3600))
