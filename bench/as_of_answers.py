"""How often a replay sees what it asks for: hinted runs over corrections of the simulated world.

`python -m bench.as_of_answers [--corrections 300]`. A hinted agent asks what it did not ask before. Counted
are the runs with at least one read that the decision's recording does not hold: which step answered it, and
how many of the runs ended without a miss. Exit code 3 below the target.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random

from agent.media_buyer.definition import media_buyer
from agent.model import GeminiModel
from agent.oracle import nonce, render
from agent.ports import Model
from agent.replay import execute
from agent.settings import AdsSettings, ModelSettings
from bench.reference_agent import MODEL_NAME, Contents, model_server
from local_stack.ads.serving import served
from local_stack.ads.world import World
from local_stack.expert import review
from local_stack.traffic import Production
from schemas.records import AgentDecision, AgentTrace, Budget, ExpertVerdict, Part
from testkit.builders import replay_request

TARGET = 0.85
SEED = 20260101
NOT_RECORDED = ("superset", "snapshot", "miss")


def corrections(production: Production) -> Iterator[tuple[AgentDecision, ExpertVerdict]]:
    """Decisions with the verdict that corrects them, for as long as anybody asks."""
    for block in itertools.count():
        start = datetime(2026, 1, 12, tzinfo=UTC).date() + timedelta(days=7 * block)
        for decision in production.decide(60, SEED, first_day=start):
            for verdict in review(decision, Random(f"{SEED}/{decision.decision_id}"))[:1]:
                if verdict.kind == "correct":
                    yield decision, verdict


def hinted(model: Model, decision: AgentDecision, verdict: ExpertVerdict) -> AgentTrace:
    """One run of the decision's agent with the oracle of the second strength."""
    replay_id = f"{verdict.verdict_id}/1"
    request = replay_request(
        decision,
        verdict_id=verdict.verdict_id,
        replay_id=replay_id,
        arm="opoi",
        strength=2,
        target=replay_request(decision).target.model_copy(update={"model": decision.model}),
        decision=b"",
        oracle=render(media_buyer().spec, verdict, 2, nonce(b"bench", replay_id)),
        budget=Budget(max_turns=24, max_output_tokens=20_000, max_seconds=120),
        deadline_at=datetime.now(UTC) + timedelta(hours=1),
    )
    return execute(request, decision, Contents(), model)


def reads(record: AgentDecision | AgentTrace) -> list[Part]:
    """Every read's answer, those of sub-agents too."""
    conversations = [record.turns, *(run.turns for run in record.sub_agent_runs)]
    return [
        part
        for turns in conversations
        for turn in turns
        for part in turn.parts
        if part.kind == "function_response" and part.effect == "read" and part.answered_by is not None
    ]


def asked_about(record: AgentDecision, window: str) -> bool:
    """Whether any call of the decision's run named `window`."""
    conversations = [record.turns, *(run.turns for run in record.sub_agent_runs)]
    calls = (part for turns in conversations for turn in turns for part in turn.parts)
    return any(window in (part.arguments_json or "") for part in calls if part.kind == "function_call")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corrections", type=int, default=300)
    given = parser.parse_args()
    with model_server() as server, served(World.make(SEED)) as url:
        model = GeminiModel(ModelSettings(base_url=server.url))
        production = Production(model, MODEL_NAME, AdsSettings(graph_url=url))
        found = list(itertools.islice(corrections(production), given.corrections))
        with ThreadPoolExecutor(4) as pool:
            traces = list(pool.map(lambda one: hinted(model, *one), found))
    unasked = sum(
        "yesterday" in (verdict.rationale or "").lower() and not asked_about(decision, "yesterday")
        for decision, verdict in found
    )
    steps: Counter[str | None] = Counter(part.answered_by for trace in traces for part in reads(trace))
    further = [trace for trace in traces if any(part.answered_by in NOT_RECORDED for part in reads(trace))]
    whole = [trace for trace in further if trace.misses == 0]
    share = len(whole) / len(further) if further else 0.0
    print("| figure | value |")
    print("|---|---|")
    print(f"| corrections | {len(found)} |")
    print(f"| that point at data the agent had not asked for | {unasked} ({unasked / len(found):.0%}) |")
    print(f"| hinted runs that ended in a decision | {sum(one.status == 'completed' for one in traces)} |")
    for step in ("recording", *NOT_RECORDED, "error"):
        print(f"| reads answered by {step} | {steps[step]} |")
    print(f"| runs with a read that was not recorded | {len(further)} |")
    print(f"| of them without a miss | {len(whole)} ({share:.1%}, target {TARGET:.0%}) |")
    raise SystemExit(0 if share >= TARGET else 3)


if __name__ == "__main__":
    main()
