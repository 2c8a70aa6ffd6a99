"""Checks an agent's trace of its run against what opoi saw of the run.

The tools endpoint saw every call and gave every answer: those count. What the agent alone knows (its words,
its order, its sub-agents) is taken from the trace where it does not contradict them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.decision import Decision, InvalidDecision
from agent.decision_checks import check_decision
from agent.http.bounds import MOST_ATTEMPTS, MOST_USED
from agent.http.contract import Breach, OraclePart, RunRequest, RunTrace
from agent.http.observed_calls import ObservedCalls
from agent.http.oracle_search import repeated_oracle
from agent.http.tools_endpoint import Exchange
from agent.spec import AgentSpec
from schemas.identity import canonical_json, json_object
from schemas.records import Action, Part, SubAgentRun, Turn

MOST_LOG_PROBABILITY = 0.001
"""Nats; above 0 only by rounding."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A trace with the tools' answers as opoi gave them."""

    turns: tuple[Turn, ...]
    sub_agent_runs: tuple[SubAgentRun, ...]
    decision: Decision | None


def verify(request: RunRequest, trace: RunTrace, exchanges: Sequence[Exchange], spec: AgentSpec) -> Verified:
    """Checks the trace, and replaces its tools' answers by those that opoi gave. Raises Breach."""
    if (trace.run_id, trace.decision_id) != (request.run_id, request.decision.decision_id):
        raise Breach(
            "another_run",
            f"asked for decision {request.decision.decision_id!r}, got run {trace.run_id!r} "
            f"of decision {trace.decision_id!r}",
        )
    question = _checked_question(request, trace, exchanges)
    observed = ObservedCalls(exchanges, spec, _that_ran(trace.sub_agent_runs))
    turns = (question, *observed.with_true_answers(trace.turns)[1:])
    runs = tuple(
        run.model_copy(update={"turns": observed.with_true_answers(run.turns)})
        for run in trace.sub_agent_runs
    )
    observed.check_none_hidden()
    _check_budget(request, trace)
    decision = _decision(trace, exchanges, spec) if trace.status == "completed" else None
    if decision is not None:
        try:
            check_decision(spec, decision, request.decision.values, turns)
        except InvalidDecision as error:
            raise Breach("no_decision", str(error), "invalid") from error
    return Verified(turns, runs, decision)


def with_oracle_part(question: Turn, oracle: OraclePart | None) -> Turn:
    """The first turn as the model must get it."""
    if oracle is None:
        return question
    part = Part(kind="text", text=oracle.text, is_oracle=True)
    parts = (*question.parts[: oracle.part], part, *question.parts[oracle.part :])
    return question.model_copy(update={"parts": parts})


def _that_ran(runs: Sequence[SubAgentRun]) -> set[str]:
    """The sub-agents with a turn of a model."""
    return {run.name for run in runs if any(turn.role == "model" for turn in run.turns)}


def _checked_question(request: RunRequest, trace: RunTrace, exchanges: Sequence[Exchange]) -> Turn:
    """The first turn: the question, with the oracle exactly where it was asked for. Raises Breach."""
    if not trace.turns:
        raise Breach("no_turns", "the trace has no turns")
    others = [*trace.turns[1:], *(turn for run in trace.sub_agent_runs for turn in run.turns)]
    if any(part.is_oracle for turn in others for part in turn.parts):
        raise Breach("oracle_misplaced", "a part after the first turn is marked as the oracle")
    if repeated := repeated_oracle(request, others, exchanges):
        raise Breach("oracle_misplaced", f"{repeated} is in a later turn too")
    wanted = with_oracle_part(request.decision.question, request.oracle)
    if _seen(trace.turns[0]) == _seen(wanted):
        return wanted
    marks = [part.is_oracle for part in trace.turns[0].parts]
    if marks != [part.is_oracle for part in wanted.parts]:
        asked = _places([part.is_oracle for part in wanted.parts])
        raise Breach("oracle_misplaced", f"the oracle is marked at {_places(marks)}, asked for was {asked}")
    raise Breach("question_differs", "the first turn is not the question, byte for byte")


def _places(marks: Sequence[bool]) -> str:
    found = [str(index) for index, mark in enumerate(marks) if mark]
    return f"part {', '.join(found)}" if found else "no part"


def _seen(turn: Turn) -> object:
    return turn.role, [(part.kind, part.text, part.is_oracle) for part in turn.parts]


def check_usage(trace: RunTrace) -> None:
    """Checks that the usage figures can be those of a run, so that sums of them are valid. Raises Breach."""
    told = [trace.usage, *(run.usage for run in trace.sub_agent_runs if run.usage is not None)]
    # the cost that the agent reports is ignored
    used = [
        (f"usage.{name}", value, MOST_USED)
        for usage in told
        for name, value in usage
        if name != "cost_micros"
    ]
    for name, value, most in (*used, ("attempts", trace.attempts, MOST_ATTEMPTS)):
        if isinstance(value, int) and value < 0:
            raise Breach("contract", f"{name} is below 0")
        if isinstance(value, int) and value > most:
            raise Breach("contract", f"{name} is {value}, above {most}")


def _check_budget(request: RunRequest, trace: RunTrace) -> None:
    budget = request.budget
    check_usage(trace)
    conversations = [trace.turns, *(run.turns for run in trace.sub_agent_runs)]
    for one in (token for turns in conversations for turn in turns for token in turn.log_probabilities):
        # written so that NaN fails too
        if not one.log_probability <= MOST_LOG_PROBABILITY:
            raise Breach("contract", f"a log-probability is {one.log_probability:g}")
    model_turns = max(trace.usage.model_calls, sum(turn.role == "model" for turn in trace.turns))
    if model_turns > budget.max_turns:
        raise Breach("max_turns", f"the model took {model_turns} turns of {budget.max_turns}", "exhausted")
    told = (trace.usage.output_tokens or 0) + (trace.usage.thought_tokens or 0)
    tokens = max(told, sum(len(turn.log_probabilities) for turns in conversations for turn in turns))
    if tokens > budget.max_output_tokens:
        raise Breach(
            "max_output_tokens", f"{tokens} tokens of {budget.max_output_tokens} were generated", "exhausted"
        )


def _decision(trace: RunTrace, exchanges: Sequence[Exchange], spec: AgentSpec) -> Decision:
    """The action, valid by the spec, carried out by the writes that opoi saw and by no others."""
    action = trace.action
    if action is None:
        raise Breach("no_decision", "the run is completed but has no action", "invalid")
    arguments = _arguments(action, spec)
    try:
        decided = Action(name=action.name, target=action.target, arguments_json=canonical_json(arguments))
        write = spec.expected_write(decided, arguments)
        expected = [(write[0], canonical_json(write[1]))] if write else []
    except ValueError as error:
        raise Breach(
            "no_decision", f"the action's arguments have no canonical form: {error}", "invalid"
        ) from error
    written = [
        (one.call.tool or "", one.call.arguments_json or "{}")
        for one in exchanges
        if one.response.effect == "write"
    ]
    if set(written) != set(expected):
        raise Breach(
            "writes_differ",
            f"{action.name!r} is carried out by {_named(expected)}, but {_named(written)} was called",
            "invalid",
        )
    return Decision(trace.rationale or "", (), decided, write)


def _arguments(action: Action, spec: AgentSpec) -> dict[str, object]:
    known = spec.actions.get(action.name)
    if known is None:
        raise Breach("no_decision", f"action {action.name!r} is none of {', '.join(spec.actions)}", "invalid")
    try:
        arguments = json_object(action.arguments_json)
    except ValueError as error:
        raise Breach("no_decision", f"the action's arguments are unusable: {error}", "invalid") from error
    if arguments.keys() != known.arguments.keys():
        raise Breach(
            "no_decision",
            f"action {action.name!r} takes {sorted(known.arguments)}, not {arguments}",
            "invalid",
        )
    for name, rule in known.arguments.items():
        if fault := rule.fault(arguments[name]):
            raise Breach("no_decision", f"argument {name!r} of {action.name!r} {fault}", "invalid")
    return arguments


def _named(calls: Iterable[tuple[str, str]]) -> str:
    return ", ".join(" ".join(call) for call in calls) or "nothing"
