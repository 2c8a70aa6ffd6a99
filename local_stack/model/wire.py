"""A generateContent request, in camelCase or in the snake_case that the SDK mixes in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local_stack.model.errors import invalid
from local_stack.model.phrases import ACTIONS
from local_stack.model.sampling import MAXIMUM_TURN, Sampling
from local_stack.model.vocabulary import ID, SIZE

Json = Mapping[str, Any]
_UPPER = re.compile(r"(?<!^)([A-Z])")
_ANALYST = re.compile(r"\s*You are the \w+ analyst\b", re.IGNORECASE)
_UNSUPPORTED = ("stopSequences", "presencePenalty", "frequencyPenalty", "routingConfig")
MAXIMUM_CANDIDATES = 8
MAXIMUM_LOGPROBS = 20


def member(body: Json, name: str, default: Any = None) -> Any:
    """The member `name` (camelCase) of a JSON object, whichever way it is spelled; null counts as absent."""
    value = body.get(name)
    if value is None:
        value = body.get(_UPPER.sub(r"_\1", name).lower())
    return default if value is None else value


def mapping(body: Json, name: str) -> Json:
    """A member that must be an object; an absent one is empty. Raises ApiError."""
    value = member(body, name, {})
    if not isinstance(value, Mapping):
        raise invalid(f"{name} must be an object, not {type(value).__name__}.")
    return value


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt: contents, whether a system instruction precedes them, and the tools."""

    contents: tuple[Json, ...]
    system: bool
    analyst: bool
    """Whether the system instruction makes the model an analyst."""
    tools: frozenset[str]
    text_length: int
    """Characters of everything, for the token count."""

    @property
    def token_count(self) -> int:
        """A rough count: four characters to a token."""
        return -(-self.text_length // 4)


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A whole request."""

    prompt: Prompt
    sampling: Sampling
    candidates: int
    log_probabilities: bool
    choices: NDArray[np.bool_] | None
    """The actions that an enum answer may name; None: no enum is requested."""
    quoted: bool
    """Whether the enum answer must be JSON."""


def read_prompt(body: Json, cached: Json | None = None) -> Prompt:
    """The prompt of a request, its cached part first. Raises ApiError."""
    cached = cached or {}
    contents = [*_contents(cached), *_contents(body)]
    system = member(body, "systemInstruction") or member(cached, "systemInstruction")
    tools = member(body, "tools") or member(cached, "tools") or []
    if not isinstance(tools, Sequence):
        raise invalid("tools must be a list.")
    length = _length(contents) + _length(system) + _length(tools)
    text = _system_text(system)
    analyst = _ANALYST.match(text) is not None
    return Prompt(tuple(contents), bool(text), analyst, _declared(tools, body, cached), length)


def _contents(body: Json) -> list[Json]:
    contents = member(body, "contents", [])
    if isinstance(contents, Mapping):
        contents = [contents]
    if not isinstance(contents, list) or not all(isinstance(content, Mapping) for content in contents):
        raise invalid("contents must be a list of contents.")
    for content in contents:
        parts = content.get("parts") or []
        if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
            raise invalid("contents[].parts must be a list of parts.")
        if content.get("role") not in (None, "user", "model", "function"):
            raise invalid(f"Please use a valid role: user, model, not {content.get('role')!r}.")
    return contents


def _system_text(system: Any) -> str:
    if isinstance(system, str):
        return system
    if not isinstance(system, Mapping):
        return ""
    return "".join(str(part.get("text") or "") for part in system.get("parts") or [])


def _declared(tools: Sequence[Any], body: Json, cached: Json) -> frozenset[str]:
    """Names of the functions that the model may call."""
    names = {
        str(declaration.get("name"))
        for tool in tools
        if isinstance(tool, Mapping)
        for declaration in member(tool, "functionDeclarations", [])
    }
    config = mapping(mapping(body, "toolConfig") or mapping(cached, "toolConfig"), "functionCallingConfig")
    mode = str(member(config, "mode", "AUTO")).upper()
    if mode == "NONE":
        return frozenset()
    only = member(config, "allowedFunctionNames")
    return frozenset(names & set(only) if only else names)


def _length(value: Any) -> int:
    """Characters of all texts and keys in a JSON value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + _length(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_length, value))
    return 0 if value is None else len(str(value))


def read_generate(body: Json, cached: Json | None = None) -> GenerateRequest:
    """The request in `body`. Raises ApiError."""
    prompt = read_prompt(body, cached)
    if not prompt.contents:
        raise invalid("contents is not specified.")
    config = mapping(body, "generationConfig")
    for name in _UNSUPPORTED:
        if member(config, name):
            raise invalid(f"{name} is not supported by the local model; leave it out.")
    wanted = bool(member(config, "responseLogprobs", False))
    top = int(_number(config, "logprobs", 0, 0, MAXIMUM_LOGPROBS))
    if top and not wanted:
        raise invalid("logprobs needs responseLogprobs to be true.")
    seed = member(config, "seed")
    if seed is not None and not isinstance(seed, int):
        raise invalid(f"seed must be an integer, not {seed!r}.")
    sampling = Sampling(
        temperature=_number(config, "temperature", 1.0, 0.0, 2.0),
        top_k=int(_number(config, "topK", SIZE, 1, 1e9)),
        top_p=_number(config, "topP", 1.0, 0.0, 1.0),
        maximum_tokens=int(_number(config, "maxOutputTokens", MAXIMUM_TURN, 1, 1e9)),
        seed=seed,
        alternatives=top,
    )
    choices, quoted = _enum(config)
    candidates = int(_number(config, "candidateCount", 1, 1, MAXIMUM_CANDIDATES))
    return GenerateRequest(prompt, sampling, candidates, wanted, choices, quoted)


def _number(config: Json, name: str, default: float, low: float, high: float) -> float:
    value = member(config, name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise invalid(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}.")
    return value


def _enum(config: Json) -> tuple[NDArray[np.bool_] | None, bool]:
    """The mask of an enum answer's values, and whether the answer is JSON."""
    mime = str(member(config, "responseMimeType", "text/plain"))
    schema = member(config, "responseSchema") or member(config, "responseJsonSchema") or {}
    values = schema.get("enum") if isinstance(schema, Mapping) else None
    if mime not in ("text/plain", "application/json", "text/x.enum"):
        raise invalid(f"responseMimeType {mime!r} is none of text/plain, application/json, text/x.enum.")
    if not values:
        if mime == "text/x.enum":
            raise invalid("text/x.enum needs a responseSchema with enum values.")
        return None, False
    strange = [value for value in values if value not in ACTIONS]
    if strange:
        raise invalid(
            f"The local model can choose among its actions only ({', '.join(ACTIONS)}), not {strange[0]!r}."
        )
    mask = np.zeros(SIZE, np.bool_)
    mask[[ID[value] for value in values]] = True
    return mask, mime == "application/json"
