"""Scores of a given text, which Gemini does not offer, at a path that only the local model has."""

from collections.abc import Mapping
from typing import Any

from local_stack.model.answers import conversation_of
from local_stack.model.errors import invalid
from local_stack.model.registry import Registry
from local_stack.model.rendering import render
from local_stack.model.sampling import score_turns
from local_stack.model.vocabulary import KIND, KIND_NAMES
from local_stack.model.wire import member, read_prompt


def score(registry: Registry, body: Mapping[str, Any]) -> dict[str, Any]:
    """Log-probabilities, in nats, of every model turn in the contents under the named model."""
    model = str(member(body, "model", ""))
    weights = registry.get(model)
    prompt = read_prompt(body)
    conversation = conversation_of(prompt)
    if not conversation.turns:
        raise invalid("contents hold no model turn to score.")
    scores = score_turns(weights, [conversation])[0]
    turns = []
    for place, turn, facts, values in zip(
        conversation.places, conversation.turns, conversation.seen, scores, strict=True
    ):
        pieces = render(turn.tokens, facts).pieces
        tokens = [
            {"token": piece, "tokenId": token, "kind": KIND_NAMES[KIND[token]], "logProbability": value}
            for token, piece, value in zip(turn.tokens, pieces, values, strict=True)
        ]
        turns.append(
            {"content": place, "tokens": tokens, "tokenCount": len(tokens), "logProbabilitySum": sum(values)}
        )
    return {
        "model": model,
        "modelVersion": registry.version_of(model),
        "turns": turns,
        "tokenCount": sum(turn["tokenCount"] for turn in turns),
        "logProbabilitySum": sum(turn["logProbabilitySum"] for turn in turns),
    }
