"""generateContent's answers: candidates with parts, log-probabilities, usage."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from local_stack.model.conversation import Conversation, read_conversation
from local_stack.model.grammar import NAMING
from local_stack.model.registry import Registry
from local_stack.model.rendering import Part, Rendered, render
from local_stack.model.sampling import Sampled, generate, stream_of
from local_stack.model.vocabulary import NAMES
from local_stack.model.wire import GenerateRequest, Prompt

Answer = dict[str, Any]
STREAM_CHUNK = 16
"""Tokens in one part of a stream."""


def conversation_of(prompt: Prompt) -> Conversation:
    """The prompt as the model sees it."""
    return read_conversation(
        prompt.contents, system=prompt.system, tools=prompt.tools, analyst=prompt.analyst
    )


def answer(registry: Registry, model: str, request: GenerateRequest, cached_tokens: int = 0) -> Answer:
    """The response body of a generateContent request."""
    weights = registry.get(model)
    conversation = conversation_of(request.prompt)
    candidates = []
    spoken = 0
    identity = hashlib.blake2b(digest_size=12)
    for index in range(request.candidates):
        stream = stream_of(request.sampling.seed, conversation, index)
        identity.update(stream.tobytes())
        opening = None if request.choices is None else NAMING
        sampled = generate(weights, conversation, request.sampling, stream, request.choices, opening)
        candidates.append(_candidate(index, sampled, conversation, request))
        spoken += len(sampled.tokens)
    usage = {
        "promptTokenCount": request.prompt.token_count,
        "candidatesTokenCount": spoken,
        "totalTokenCount": request.prompt.token_count + spoken,
    }
    if cached_tokens:
        usage["cachedContentTokenCount"] = cached_tokens
    return {
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": registry.version_of(model),
        "responseId": identity.hexdigest(),
    }


def _candidate(
    index: int, sampled: Sampled, conversation: Conversation, request: GenerateRequest
) -> dict[str, Any]:
    rendered = _render(sampled, conversation, request)
    parts = _with_identities(rendered.parts, conversation, sampled)
    candidate: dict[str, Any] = {
        "index": index,
        "content": {"role": "model", "parts": parts},
        "finishReason": "STOP" if sampled.stopped or request.choices is not None else "MAX_TOKENS",
        "avgLogprobs": sum(sampled.scores) / len(sampled.scores),
    }
    if request.log_probabilities:
        candidate["logprobsResult"] = _log_probabilities(sampled, rendered.pieces)
    return candidate


def _render(sampled: Sampled, conversation: Conversation, request: GenerateRequest) -> Rendered:
    if request.choices is None:
        return render(sampled.tokens, conversation.facts)
    name = NAMES[sampled.tokens[0]]
    return Rendered([{"text": json.dumps(name) if request.quoted else name}], [name])


def _with_identities(parts: list[Part], conversation: Conversation, sampled: Sampled) -> list[Part]:
    """Give each call an id and the first one a thought signature, as Gemini does.

    Both follow from the tokens, so that the same request and seed give the same bytes.
    """
    digest = hashlib.blake2b(repr((conversation.history(), sampled.tokens)).encode(), digest_size=16)
    calls = 0
    for part in parts:
        if "functionCall" in part:
            part["functionCall"]["id"] = f"call-{digest.hexdigest()[:12]}-{calls}"
            if calls == 0:
                part["thoughtSignature"] = base64.b64encode(digest.digest()).decode()
            calls += 1
    return parts


def _log_probabilities(sampled: Sampled, pieces: list[str]) -> dict[str, Any]:
    chosen = [
        {"token": piece, "tokenId": token, "logProbability": score}
        for token, piece, score in zip(sampled.tokens, pieces, sampled.scores, strict=True)
    ]
    tops = [
        {
            "candidates": [
                {
                    "token": piece if token == own else NAMES[token],
                    "tokenId": token,
                    "logProbability": score,
                }
                for token, score in others
            ]
        }
        for own, piece, others in zip(sampled.tokens, pieces, sampled.others, strict=True)
    ]
    found: dict[str, Any] = {"chosenCandidates": chosen, "logProbabilitySum": sum(sampled.scores)}
    return {**found, "topCandidates": tops} if any(sampled.others) else found


def stream(whole: Answer) -> Iterator[Answer]:
    """The same answer in pieces: text in groups of words, each call separately, the end with the usage."""
    candidate = whole["candidates"][0]
    common = {key: whole[key] for key in ("modelVersion", "responseId")}
    pieces: list[Part] = []
    for part in candidate["content"]["parts"]:
        if "text" not in part:
            pieces.append(part)
            continue
        words = part["text"].split(" ")
        for start in range(0, len(words), STREAM_CHUNK):
            lead = " " if start else ""
            pieces.append({"text": lead + " ".join(words[start : start + STREAM_CHUNK])})
    for piece in pieces[:-1]:
        yield {"candidates": [{"index": 0, "content": {"role": "model", "parts": [piece]}}], **common}
    last = {**candidate, "content": {"role": "model", "parts": pieces[-1:]}}
    yield {"candidates": [last], "usageMetadata": whole["usageMetadata"], **common}
