"""What the local model costs on one core: `python -m bench.local_model`.

Processor seconds, so that a busy machine changes little; the tuning job alone is timed by the clock, as a
client of the server sees it. A machine compiles once, at its very first start; each version of the base model
is fitted once; every other start loads both. This happens in a cache of its own; the user's stays as it is.
Exit code 3 where a figure is over its limit.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.reference_agent import MODEL_NAME, model_server
from local_stack.model.corpus import join
from local_stack.model.pretraining import Recipe, base_model, corpus_of
from local_stack.model.rendering import render
from local_stack.model.sampling import Sampling, generate, score_turns, stream_of
from local_stack.model.tuning import DEFAULT_EPOCHS
from local_stack.model.weights import Weights, fork
from streams.cli.output import table
from testkit.local_model import SYSTEM, Talk, declarations, drawn_figures, talk

START = (
    "import resource, sys, time; from pathlib import Path;"
    "from local_stack.model.startup import open_registry; open_registry(Path(sys.argv[1]));"
    "import local_stack.model.server, uvicorn;"
    "print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)
COMPILES = "first start on a machine: compile, fit"
STARTS = {
    COMPILES: 60.0,
    "first start of a base model: fit": 30.0,
    "any other start: load": 5.0,
}
"""Each start and its limit."""
DIGITS = {"s": 1, "ms": 1, "us": 0, "MiB": 0, "nats/token": 3}
TUNING_ROWS = 400
DECISION_TOKENS = 150
HELD_OUT = 800
Row = tuple[str, float, str, float | None]
"""Name, figure, unit, limit."""


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def start(cache: str) -> tuple[float, float]:
    """Processor seconds and peak MiB of a server's start with this cache folder."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    command = [sys.executable, "-P", "-c", START, cache]
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    took, peak = found.stdout.splitlines()[-1].split()
    return float(took), float(peak)


def decide(weights: Weights, run: Talk) -> int:
    """Write the decision of `run` again, with five alternatives a token; its tokens."""
    conversation = run.conversation()
    sampling = Sampling(0.5, seed=1, alternatives=5)
    turn = generate(weights, conversation, sampling, stream_of(1, conversation))
    render(turn.tokens, conversation.facts)
    return len(turn.tokens)


def starts() -> Iterator[Row]:
    """A server's start from nothing, without a base model, and from the cache."""
    with tempfile.TemporaryDirectory() as cache:
        for name, limit in STARTS.items():
            took, peak = start(cache)
            yield name, took, "s", limit
            yield f"{name}, peak memory", peak, "MiB", None
            if name == COMPILES:
                [base] = Path(cache).rglob("*.npz")
                base.unlink()


def ask(url: str, body: object = None) -> Any:
    """The server's answer."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data), timeout=30) as answer:
        return json.load(answer)


def tuning_job(runs: list[Talk]) -> float:
    """Seconds from a tuning job's creation until it has succeeded."""
    with model_server() as server, tempfile.NamedTemporaryFile("w", suffix=".jsonl") as rows:
        shared = {"systemInstruction": SYSTEM, "tools": declarations()}
        rows.writelines(json.dumps({"contents": run.contents, **shared}) + "\n" for run in runs)
        rows.flush()
        body = {"baseModel": MODEL_NAME, "supervisedTuningSpec": {"trainingDatasetUri": rows.name}}
        begun = time.monotonic()
        job = ask(f"{server.url}/v1/tuningJobs", body)
        while job["state"] != "JOB_STATE_SUCCEEDED":
            assert job["state"] in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING"), job
            time.sleep(0.05)
            job = ask(f"{server.url}/v1/{job['name']}")
        took = time.monotonic() - begun
        learned = int(job["tuningDataStats"]["supervisedTuningDataStats"]["tuningDatasetExampleCount"])
        assert learned == len(runs), f"{learned} of {len(runs)} rows were read"
        return took


def figures() -> Iterator[Row]:
    """What answers, scores and tuning cost."""
    weights, _ = base_model()
    runs = [
        talk(weights, drawn_figures(random.Random(seed)), seed=seed, temperature=0.5)
        for seed in range(TUNING_ROWS)
    ]
    questions = [Talk(run.contents[:3]) for run in runs[:200]]
    rounds = []
    for question in questions:
        begun = time.process_time()
        count = decide(weights, question)
        rounds.append((time.process_time() - begun) / count)
    per_token = statistics.median(rounds)
    yield "one token, whole request", per_token * 1e6, "us", None
    yield f"a decision of {DECISION_TOKENS} tokens", per_token * DECISION_TOKENS * 1e3, "ms", 50
    conversations = [run.conversation() for run in runs]
    corpus = join([conversation.trace for conversation in conversations])
    score_turns(weights, conversations[:1])  # what is compiled or loaded at the first call is not counted
    scoring = seconds(lambda: score_turns(weights, conversations)) / len(corpus.tokens)
    yield "scoring, one token", scoring * 1e6, "us", None
    yield f"tuning job over HTTP, {TUNING_ROWS} rows, {DEFAULT_EPOCHS} epochs", tuning_job(runs), "s", 15
    yield "a tuned model's own rows", fork(weights, corpus).own.nbytes / 2**20, "MiB", None
    held_out = weights.loss(corpus_of(Recipe(), HELD_OUT, 1))
    yield "held-out loss, scripted traces", held_out, "nats/token", None
    spoken = [score for run in runs for turn in run.turns for score in turn.scores]
    yield "self_conf at temperature 0.5", statistics.fmean(spoken), "nats/token", None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.local_model", description=__doc__)
    parser.add_argument("--no-start", action="store_true", help="leave out the three starts (about a minute)")
    found = [*(() if parser.parse_args().no_start else starts()), *figures()]
    rows = [
        (name, f"{value:.{DIGITS[unit]}f} {unit}", "" if limit is None else f"{limit:g} {unit}")
        for name, value, unit, limit in found
    ]
    print(table(("what", "measured", "at most"), rows))
    raise SystemExit(3 if any(limit is not None and value > limit for _, value, _, limit in found) else 0)


if __name__ == "__main__":
    main()
