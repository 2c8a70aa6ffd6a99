"""Runs an agent over HTTP, with the interface of the runtime in this process (`AgentRuntime`)."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from agent.http.bounds import AWAY_SECONDS, MOST_PARTS, MOST_REASON, TooLarge, most_polls
from agent.http.client import AgentAway, AgentClient, AgentRefused, RunAway
from agent.http.contract import (
    Breach,
    DecisionContext,
    OraclePart,
    RunBudget,
    RunRequest,
    RunStatus,
    RunTrace,
)
from agent.http.observed_calls import intended, misses
from agent.http.tools_endpoint import Exchange, Session, SpecTools, ToolsEndpoint
from agent.http.verify_trace import Verified, check_usage, verify
from agent.ports import ToolBox
from agent.run import AgentDefinition, Limits, Price, Run, priced
from agent.runtime import turn_seed, utc_now
from agent.spec import AgentSpec
from schemas.log_events import TRACE_CHECK_FAILED
from schemas.records import TraceStatus, Turn, Usage

FIRST_POLL = 0.05
LONGEST_POLL = 2.0

log = structlog.get_logger(__name__)
# two traces of 8 MiB that are checked at once are not done sooner, but take twice the memory
_checking = threading.Lock()


@dataclass(frozen=True, slots=True)
class HttpRuntime:
    """Runs one decision's agent at its own service. `context` is what the agent gets of the decision.

    `price` is the model's in opoi's settings; a cost that the agent reports is ignored.
    """

    client: AgentClient
    endpoint: ToolsEndpoint
    context: Mapping[str, object]
    decided_at: datetime
    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    now: Callable[[], datetime] = utc_now

    def run(
        self,
        agent: AgentDefinition,
        question: Turn,
        tools: ToolBox,
        *,
        model_name: str,
        run_id: str,
    ) -> Run:
        """Lets the agent answer `question`; see `agent.run.AgentRuntime`.

        Whatever the agent does wrong is a status of the run. Raises AgentAway and QuotaExceeded.
        """
        started_at = self.now()
        # each try has an id of its own: what opoi saw of an earlier one ended with its session
        with self.endpoint.session(
            f"{run_id}.{secrets.token_hex(4)}", SpecTools(tools, agent.spec), self.decided_at, self.limits
        ) as session:
            request = self._request(session, question, model_name, turn_seed(run_id, 0))
            ended = self._ended(session, request)
        # the session is closed, so its calls are final
        return self._run(agent, request, ended, session.exchanges, started_at)

    def _request(self, session: Session, question: Turn, model_name: str, seed: int) -> RunRequest:
        plain, oracle = split_question(question)
        return RunRequest(
            run_id=session.run_id,
            decision=DecisionContext.model_validate({**self.context, "model": model_name, "question": plain}),
            oracle=oracle,
            seed=seed,
            budget=RunBudget(
                max_turns=self.limits.max_turns,
                max_output_tokens=self.limits.max_output_tokens,
                max_seconds=self.limits.max_seconds,
            ),
            tools_url=self.endpoint.tools_url(session),
            tools_token=session.token,
            callback_url=self.endpoint.callback_url(session),
        )

    def _ended(self, session: Session, request: RunRequest) -> RunTrace | Breach:
        """The agent's trace, or why there is none."""
        end = time.monotonic() + self.limits.max_seconds
        try:
            status = self.client.start(request, self.limits.max_seconds, session.traffic)
            wait = FIRST_POLL
            polls = most_polls(self.limits.max_seconds)
            while status.trace is None:
                left = end - time.monotonic()
                if left <= 0:
                    self.client.cancel(request.run_id)
                    return Breach(
                        "max_seconds",
                        f"the agent did not end within {self.limits.max_seconds:g} s",
                        "exhausted",
                    )
                if session.ended.wait(min(wait, left)):
                    if session.status is None:
                        session.traffic.take(0)
                    else:
                        status = session.status
                    break
                wait = min(wait * 1.5, LONGEST_POLL)
                status, polls = self._polled(session, end, status, polls)
        except (AgentRefused, TooLarge) as error:
            code = error.code if isinstance(error, AgentRefused) else "too_large"
            if code == "too_large":
                self.client.cancel(request.run_id)
            return Breach(code, str(error), "version_skew" if code == "version_skew" else "failed")
        except AgentAway:
            self.client.cancel(request.run_id)
            raise
        return status.trace if status.trace is not None else Breach("contract", "a run ended without a trace")

    def _polled(self, session: Session, end: float, before: RunStatus, polls: int) -> tuple[RunStatus, int]:
        """The run's status and how many polls are left. Waits while the agent does not answer, for a time.

        Raises AgentAway, AgentRefused.
        """
        give_up = min(end, time.monotonic() + AWAY_SECONDS)
        while polls > 0:
            polls -= 1
            try:
                return self.client.status(session.run_id, end - time.monotonic(), session.traffic), polls
            except RunAway:
                raise
            except AgentAway as error:
                now = time.monotonic()
                if now >= end:
                    return before, polls
                if now >= give_up:
                    raise
                wait = max(FIRST_POLL * 4, error.retry_after or 0.0)
                time.sleep(min(wait, LONGEST_POLL, end - now))
        most = most_polls(self.limits.max_seconds)
        raise AgentRefused("too_many_polls", f"the run has not ended after {most} requests for its status")

    def _run(
        self,
        agent: AgentDefinition,
        request: RunRequest,
        ended: RunTrace | Breach,
        exchanges: tuple[Exchange, ...],
        started_at: datetime,
    ) -> Run:
        status: TraceStatus
        verified = Verified((), (), None)
        usage, attempts, reason = Usage(), 0, None
        if isinstance(ended, Breach):
            status, reason = ended.status, f"{ended.code}: {ended}"
        else:
            try:
                check_usage(ended)
                usage, attempts = self._priced(ended.usage), ended.attempts
                verified = _verified(request, ended, exchanges, agent.spec)
                self._check_cost(usage)
            except Breach as breach:
                status, reason = breach.status, f"{breach.code}: {breach}"
            else:
                # `cancelled` is opoi's own word: a newer verdict took the run's place
                status = "failed" if ended.status == "cancelled" else ended.status
                reason = None if status == "completed" else ended.reason or "the agent gave no reason"
        return Run(
            status=status,
            reason=None if reason is None else _short(reason),
            turns=verified.turns,
            sub_agent_runs=tuple(
                one.model_copy(update={"usage": one.usage and self._priced(one.usage)})
                for one in verified.sub_agent_runs
            ),
            decision=verified.decision,
            usage=usage.model_copy(update={"tool_calls": len(exchanges)}),
            attempts=attempts,
            misses=misses(exchanges),
            intended_writes=intended(exchanges),
            started_at=started_at,
            finished_at=self.now(),
        )

    def _priced(self, told: Usage) -> Usage:
        """`told` with opoi's price instead of the agent's, whose currency is unknown."""
        return priced(told.model_copy(update={"cost_micros": None, "cost_currency": None}), self.price)

    def _check_cost(self, usage: Usage) -> None:
        most, cost = self.limits.max_cost_micros, usage.cost_micros
        if most is not None and cost is not None and cost > most:
            raise Breach("max_cost_micros", f"{cost} of {most} are used", "exhausted")


def _verified(
    request: RunRequest, trace: RunTrace, exchanges: tuple[Exchange, ...], spec: AgentSpec
) -> Verified:
    """`trace`, verified. Raises Breach, whatever the agent sent."""
    conversations = (trace.turns, *(run.turns for run in trace.sub_agent_runs))
    parts = sum(len(turn.parts) for turns in conversations for turn in turns)
    if parts > MOST_PARTS:
        raise Breach("too_large", f"the trace has {parts} parts, more than {MOST_PARTS}")
    try:
        with _checking:
            return verify(request, trace, exchanges, spec)
    except Breach:
        raise
    except Exception as error:
        # a fault of opoi, but it must end this one run alone
        TRACE_CHECK_FAILED.emit(log, run_id=request.run_id, exc_info=error)
        raise Breach("contract", f"the trace cannot be checked ({type(error).__name__})") from error


def _short(reason: str) -> str:
    return reason if len(reason) <= MOST_REASON else f"{reason[: MOST_REASON - 3]}..."


def split_question(question: Turn) -> tuple[Turn, OraclePart | None]:
    """The first turn without the oracle's part, and that part with its position."""
    places = [index for index, part in enumerate(question.parts) if part.is_oracle]
    if not places:
        return question, None
    place = places[0]
    plain = question.model_copy(update={"parts": (*question.parts[:place], *question.parts[place + 1 :])})
    return plain, OraclePart(text=question.parts[place].text or "", part=place)
