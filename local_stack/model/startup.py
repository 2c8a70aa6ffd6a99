"""Making the server ready: the base model loaded or fitted, the compiled core loaded or compiled."""

from pathlib import Path

from local_stack.model.conversation import read_conversation
from local_stack.model.corpus import join
from local_stack.model.pretraining import base_model
from local_stack.model.registry import Registry
from local_stack.model.sampling import Sampling, generate, score_turns, stream_of
from local_stack.model.weights import Fitter, fork


def open_registry(folder: Path) -> Registry:
    """The models of `folder` over the base model, ready to answer at once."""
    weights, version = base_model()
    registry = Registry(weights, version, folder / "tuned")
    _warm_up(registry)
    return registry


def _warm_up(registry: Registry) -> None:
    """Call every compiled function once, so that no request waits for the compiler."""
    question = {"role": "user", "parts": [{"text": "Decide on campaign 1 of account 1 for 2026-01-01."}]}
    conversation = read_conversation([question], system=True, tools=frozenset())
    turn = generate(registry.base, conversation, Sampling(seed=0), stream_of(0, conversation))
    conversation.add_model_turn(1, [{"text": "Done."}])
    score_turns(registry.base, [conversation])
    corpus = join([conversation.trace])
    Fitter(fork(registry.base, corpus), corpus, 0.0, 0).epoch()
    if not turn.tokens:
        raise RuntimeError("the local model says nothing")
