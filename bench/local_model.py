"""What the local model costs on one core: `python -m bench.local_model`.

Processor seconds, so that a busy machine changes little. Compiling and fitting from nothing happen in a cache
of their own; the user's stays as it is.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from agent.local.model.corpus import join
from agent.local.model.pretraining import Recipe, base_model, corpus_of, train
from agent.local.model.rendering import render
from agent.local.model.sampling import Sampling, generate, score_turns, stream_of
from agent.local.model.tuning import DEFAULT_EPOCHS, ORDER_SEED, RATE
from agent.local.model.weights import Fitter, Weights, fork
from streams.cli.output import table
from tests.unit.local_model.local_model_kit import Talk, drawn_figures, talk

START = (
    "import resource, sys, time; from pathlib import Path;"
    "from agent.local.model.startup import open_registry; open_registry(Path(sys.argv[1]));"
    "import agent.local.model.server, uvicorn;"
    "print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)
TUNING_ROWS = 400
DECISION_TOKENS = 150
HELD_OUT = 800


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def start(cache: str) -> tuple[float, float]:
    """Processor seconds and peak MiB of a server's start with this cache folder."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    command = [sys.executable, "-c", START, cache]
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.local_model", description=__doc__)
    parser.add_argument("--no-start", action="store_true", help="leave out the two starts (about a minute)")
    rows: list[tuple[str, str, str]] = []
    if not parser.parse_args().no_start:
        with tempfile.TemporaryDirectory() as cache:
            for name, limit in (("first start: compile and fit", ""), ("start from the cache", "5 s")):
                took, peak = start(cache)
                rows += [(name, f"{took:.1f} s", limit), (f"{name}, peak memory", f"{peak:.0f} MiB", "")]
    weights, _ = base_model()
    rows.append(("pre-training", f"{seconds(lambda: train(Recipe())):.1f} s", "30 s"))
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
    rows += [
        ("one token, whole request", f"{per_token * 1e6:.0f} us", ""),
        (f"a decision of {DECISION_TOKENS} tokens", f"{per_token * DECISION_TOKENS * 1e3:.1f} ms", "50 ms"),
    ]
    conversations = [run.conversation() for run in runs]
    corpus = join([conversation.trace for conversation in conversations])
    score_turns(weights, conversations[:1])  # what is compiled or loaded at the first call is not counted
    rows.append(
        (
            "scoring, one token",
            f"{seconds(lambda: score_turns(weights, conversations)) / len(corpus.tokens) * 1e6:.0f} us",
            "",
        )
    )
    fitter = Fitter(fork(weights, corpus), corpus, RATE, ORDER_SEED)
    took = seconds(lambda: [fitter.epoch() for _ in range(DEFAULT_EPOCHS)])
    own = fitter.weights.own.nbytes / 2**20
    spoken = [score for run in runs for turn in run.turns for score in turn.scores]
    rows += [
        (f"tuning, {TUNING_ROWS} rows, {DEFAULT_EPOCHS} epochs", f"{took:.1f} s", "15 s"),
        ("a tuned model's own rows", f"{own:.1f} MiB", ""),
        (
            "held-out loss, scripted traces",
            f"{weights.loss(corpus_of(Recipe(), HELD_OUT, 1)):.3f} nats/token",
            "",
        ),
        ("self_conf at temperature 0.5", f"{statistics.fmean(spoken):.3f} nats/token", ""),
    ]
    print(table(("what", "measured", "at most"), rows))


if __name__ == "__main__":
    main()
