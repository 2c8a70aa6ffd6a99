"""The clauses of the contract, each judged by what was seen of the agent's runs."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from agent.http.check.canary import Canary
from agent.http.check.probe import Agent, Seen, decision, ended, limits, request_for, run, tools
from agent.http.contract import RUNS, Problem, RunBudget
from agent.http.observed_calls import intended, misses
from agent.ports import ModelError

Outcome = Literal["kept", "broken", "not shown"]
Judged = tuple[Outcome, str]
ONE_TURN = {"max_turns": 1}
ONE_TOKEN = {"max_output_tokens": 1}
SLOW_TOOL_SECONDS = 0.75
SLOW = RunBudget(max_turns=24, max_output_tokens=100_000, max_seconds=1.0)
GRACE_SECONDS = 3.0
"""Time for an agent to notice that its time is up, including a tool call in progress."""

TOOL_CODES = "tool_call_bypassed", "tool_call_hidden", "tool_answer_differs", "unpaired_call"
ORDER = (
    "another_run", "no_turns", "oracle_misplaced", "question_differs", "contract", *TOOL_CODES,
    "max_turns", "max_output_tokens", "no_decision", "writes_differ",
)  # fmt: skip
"""Breaches in the order in which `verify` checks. It stops at the first, so later ones are not shown."""
UNSEEN: Judged = "not shown", "no trace shows this; mend what is broken first"


@dataclass(frozen=True, slots=True)
class Finding:
    """One clause: its name, whether the agent keeps it, what was seen."""

    clause: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The runs that the clauses are judged by."""

    agent: Agent
    plain: Seen
    hinted: Seen
    dry: Seen
    short: Seen
    terse: Seen
    slow: Seen
    canary: Canary | None

    @property
    def runs(self) -> dict[str, Seen]:
        """The runs that a trace is expected of."""
        return {"the un-hinted run": self.plain, "the hinted run": self.hinted, "the run of misses": self.dry}


def check(agent: Agent, canary: Canary | None = None) -> Iterator[Finding]:
    """Every clause, in order; the canary is looked at last. Raises RunAway."""
    with ThreadPoolExecutor(6, thread_name_prefix="check") as pool:
        started = [
            pool.submit(run, agent),
            pool.submit(run, agent, hinted=True),
            pool.submit(run, agent, dry=True),
            pool.submit(run, agent, budget=agent.budget.model_copy(update=ONE_TURN)),
            pool.submit(run, agent, budget=agent.budget.model_copy(update=ONE_TOKEN)),
            pool.submit(run, agent, budget=SLOW, tool_seconds=SLOW_TOOL_SECONDS, grace=GRACE_SECONDS),
        ]
        plain, hinted, dry, short, terse, slow = (one.result() for one in started)
    evidence = Evidence(agent, plain, hinted, dry, short, terse, slow, canary)
    for name, judge in CLAUSES.items():
        outcome, seen = judge(evidence)
        yield Finding(name, outcome, seen)


def _runs_end(evidence: Evidence) -> Judged:
    for name, seen in evidence.runs.items():
        if seen.fault:
            return "broken", f"{name}: {seen.fault}"
    status = evidence.plain.trace.status if evidence.plain.trace else None
    if status != "completed":
        assert evidence.plain.trace is not None
        return "broken", f"the un-hinted run ended as {status}: {evidence.plain.trace.reason}"
    return (
        "kept",
        f"three runs ended, the longest after {max(one.seconds for one in evidence.runs.values()):.1f} s",
    )


def _shows(seen: Seen, code: str) -> bool:
    """Whether the run's trace was looked at for the breach `code`."""
    return seen.trace is not None and (
        seen.breach is None or ORDER.index(seen.breach.code) >= ORDER.index(code)
    )


def _no_breach(*codes: str) -> Callable[[Evidence, str], Judged]:
    """Judges by breaches of `codes`, in a run that was checked at least up to the first of them."""

    def judge(evidence: Evidence, fine: str) -> Judged:
        runs = evidence.runs
        if codes == TOOL_CODES:
            del runs["the run of misses"]  # the clause of misses is about that
        for name, seen in runs.items():
            if seen.breach is not None and seen.breach.code in codes:
                return "broken", f"{name}: {seen.breach.code}: {seen.breach}"
        return ("kept", fine) if any(_shows(seen, codes[0]) for seen in runs.values()) else UNSEEN

    return judge


def _identity(evidence: Evidence) -> Judged:
    return _no_breach("another_run", "contract")(evidence, "each run gave its own decision's trace")


def _question(evidence: Evidence) -> Judged:
    return _no_breach("question_differs", "no_turns")(
        evidence, "the first turn is the question, byte for byte"
    )


def _oracle(evidence: Evidence) -> Judged:
    hinted = evidence.hinted
    outcome, seen = _no_breach("oracle_misplaced")(
        evidence, "one marked part where it was asked for; none in the runs without"
    )
    if outcome != "kept":
        return outcome, seen
    if hinted.trace is None or (hinted.breach is not None and hinted.breach.code == "question_differs"):
        return "broken", hinted.fault or f"the hinted run: {hinted.breach}"
    shown = all(_shows(one, "oracle_misplaced") for one in (hinted, evidence.plain))
    return (outcome, seen) if shown else UNSEEN


def _tools(evidence: Evidence) -> Judged:
    count = sum(
        len(seen.exchanges) for seen in (evidence.plain, evidence.hinted) if _shows(seen, TOOL_CODES[0])
    )
    outcome, seen = _no_breach(*TOOL_CODES)(
        evidence, f"{count} calls, each reported as it was made and answered"
    )
    if outcome == "kept" and not count:
        return "not shown", "the agent called no tool; take a sample on which it does"
    return outcome, seen


def _misses(evidence: Evidence) -> Judged:
    dry = evidence.dry
    count = misses(dry.exchanges)
    if dry.breach is not None and dry.breach.code in TOOL_CODES:
        return "broken", f"{dry.breach.code}: {dry.breach}"
    if dry.trace is None:
        return "broken", dry.fault or "the run of misses gave no trace"
    if not _shows(dry, TOOL_CODES[0]):
        return UNSEEN
    if not count:
        return "not shown", "no call was a miss"
    return "kept", f"{count} calls without an answer, and none was made up"


def _writes(evidence: Evidence) -> Judged:
    shown = [seen for seen in evidence.runs.values() if _shows(seen, "writes_differ")]
    count = sum(len(intended(seen.exchanges)) for seen in shown)
    fine = f"{count} writes, all simulated, each the run's own action"
    outcome, seen = _no_breach("writes_differ", "no_decision")(evidence, fine)
    if outcome == "kept" and not count:
        return "not shown", "no run wrote anything; take a sample on which the agent acts"
    return outcome, seen


def _canary(evidence: Evidence) -> Judged:
    if evidence.canary is None:
        return "not shown", "point the agent's platform at 127.0.0.1:PORT and check with --canary-port PORT"
    found = evidence.canary.requests
    if found:
        return "broken", f"{len(found)} requests bypassed opoi, the first: {found[0]}"
    return "kept", f"0 requests at {evidence.canary.url}"


def _idempotence(evidence: Evidence) -> Judged:
    agent = evidence.agent
    decided = decision(agent)
    name = f"check.{secrets.token_hex(8)}"
    with agent.endpoint.session(
        name, tools(agent, decided), decided.decided_at, limits(agent.budget)
    ) as session:
        asked = request_for(agent, decided, session)
        body = asked.model_dump_json().encode()
        first, fault = ended(agent.client, asked, agent.budget.max_seconds)
        if first is None:
            return "not shown", fault or "the run gave no trace"
        before = len(session.exchanges)
        again, fault = ended(agent.client, asked, agent.budget.max_seconds)
        if again != first or len(session.exchanges) != before:
            more = len(session.exchanges) - before
            return "broken", fault or f"started again, it gave another trace and made {more} further calls"
        other = asked.model_copy(update={"seed": asked.seed + 1}).model_dump_json().encode()
        try:
            status = agent.client.send("POST", RUNS, 10.0, other).status
            repeated = agent.client.send("POST", RUNS, 10.0, body).status
        except ModelError as error:
            return "broken", str(error)
    if status != 409:
        return "broken", f"another body under the same run_id is answered {status}, not 409"
    return "kept", f"started again, the same trace ({repeated}) and no further call; another body: 409"


def _max_turns(evidence: Evidence) -> Judged:
    short = evidence.short
    if short.trace is None:
        return "broken", short.fault or "the run gave no trace"
    if short.breach is not None and short.breach.code == "max_turns":
        return "broken", f"{short.breach}"
    if not _shows(short, "max_turns"):
        return UNSEEN
    return "kept", f"with 1 model turn allowed it ended as {short.trace.status}"


def _max_output_tokens(evidence: Evidence) -> Judged:
    trace = evidence.terse.trace
    if trace is None:
        return "broken", evidence.terse.fault or "the run gave no trace"
    if trace.status == "exhausted":
        return "kept", "with 1 generated token allowed it ended as exhausted"
    if trace.usage.output_tokens is None and trace.usage.thought_tokens is None:
        return "not shown", "the agent counts no tokens"
    used = (trace.usage.output_tokens or 0) + (trace.usage.thought_tokens or 0)
    outcome: Outcome = "broken" if used > 1 else "kept"
    return outcome, f"with 1 generated token allowed it took {used} and ended as {trace.status}"


def _max_seconds(evidence: Evidence) -> Judged:
    slow = evidence.slow
    if slow.trace is None:
        return "broken", slow.fault or "the run gave no trace"
    return "kept", f"with {SLOW.max_seconds:g} s allowed and slow tools it ended after {slow.seconds:.1f} s"


def _errors(evidence: Evidence) -> Judged:
    agent, asked = evidence.agent, evidence.plain.request
    skewed = asked.decision.model_copy(update={"prompt_id": "0" * 64})
    other = asked.model_copy(update={"run_id": f"check.{secrets.token_hex(8)}", "decision": skewed})
    wanted: Sequence[tuple[str, str, str, bytes | None, int]] = (
        ("a body that is no JSON", "POST", RUNS, b"{", 400),
        ("a body without a decision", "POST", RUNS, b'{"run_id": "x"}', 400),
        ("an unknown run", "GET", f"{RUNS}/check.{secrets.token_hex(8)}", None, 404),
        ("an unknown prompt_id", "POST", RUNS, other.model_dump_json().encode(), 409),
    )
    for what, method, path, body, status in wanted:
        try:
            found = agent.client.send(method, path, 10.0, body)
        except ModelError as error:
            return "broken", f"{what}: {error}"
        if found.status != status:
            return "broken", f"{what} is answered {found.status}, not {status}"
        try:
            Problem.model_validate_json(found.body)
        except ValueError:
            return "broken", f"{what} is answered {status} without a Problem"
    return "kept", "400, 404 and 409 with a Problem"


def _cancel(evidence: Evidence) -> Judged:
    agent = evidence.agent
    decided = decision(agent)
    with agent.endpoint.session(
        f"check.{secrets.token_hex(8)}", tools(agent, decided), decided.decided_at, limits(agent.budget)
    ) as session:
        asked = request_for(agent, decided, session)
        try:
            agent.client.send("POST", RUNS, 10.0, asked.model_dump_json().encode())
            for what, run_id in (("a run", asked.run_id), ("an unknown run", f"{asked.run_id}.not")):
                status = agent.client.send("DELETE", f"{RUNS}/{run_id}", 10.0).status
                if status != 204:
                    return "broken", f"DELETE of {what} is answered {status}, not 204"
        except ModelError as error:
            return "broken", str(error)
    return "kept", "DELETE is answered 204, of an unknown run too"


CLAUSES: dict[str, Callable[[Evidence], Judged]] = {
    "runs": _runs_end,
    "identity": _identity,
    "question": _question,
    "oracle": _oracle,
    "tools": _tools,
    "misses": _misses,
    "writes": _writes,
    "idempotence": _idempotence,
    "max_turns": _max_turns,
    "max_output_tokens": _max_output_tokens,
    "max_seconds": _max_seconds,
    "errors": _errors,
    "cancel": _cancel,
    "canary": _canary,
}
"""Every clause by its name."""
