"""The model behind google-genai: the Gemini API, Vertex AI, or a local server that speaks its protocol.

The only module that imports google-genai, which takes seconds to import: load it where a model is needed.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import httpx2
import stamina
from google import genai
from google.genai import errors, types

from agent.ports import (
    GenerationConfig,
    Message,
    ModelAway,
    ModelError,
    ModelGone,
    ModelRefused,
    ModelReply,
    ModelRequest,
    QuotaExceeded,
)
from agent.settings import ModelSettings
from schemas.identity import canonical_json
from schemas.records import Part, TokenLogProbability, Turn, Usage

LogProbabilitySupport = Literal["given", "absent", "refused"]

_KEY_REFUSED = (401, 403)
_CONNECTIONS = httpx2.Limits(max_connections=256, max_keepalive_connections=64)


class GeminiModel:
    """A `Model` over one google-genai client; safe to use from many threads."""

    def __init__(
        self, settings: ModelSettings, *, max_attempts: int = 5, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """`max_attempts` counts the requests of one call; `transport` takes the place of the network."""
        self._max_attempts = max_attempts
        self._without_log_probabilities: set[tuple[str, bool, bool]] = set()
        options = types.HttpOptions(
            base_url=settings.base_url,
            api_version=settings.api_version,
            # the library's own retry does not honour the server's delay
            retry_options=types.HttpRetryOptions(attempts=1),
            client_args={"limits": _CONNECTIONS, "transport": transport},
        )
        if settings.enterprise:
            self._client = genai.Client(
                enterprise=True, project=settings.project, location=settings.location, http_options=options
            )
        else:
            self._client = genai.Client(
                enterprise=False, api_key=settings.api_key.get_secret_value(), http_options=options
            )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def generate(self, request: ModelRequest) -> ModelReply:
        """The model's next turn. Raises ModelAway, QuotaExceeded, ModelRefused.

        A model that refuses log-probabilities is asked again without them, and from then on at once.
        """
        kind = (request.model, bool(request.declarations), _thinks(request.config))
        wanted = request.config.log_probabilities and kind not in self._without_log_probabilities
        try:
            return self._generate(request, log_probabilities=wanted)
        except ModelRefused as error:
            if not wanted or not _is_about_log_probabilities(error):
                raise
            self._without_log_probabilities.add(kind)
            return self._generate(request, log_probabilities=False)

    def log_probability_support(
        self,
        model: str,
        *,
        declarations: Sequence[dict[str, Any]] = (),
        config: GenerationConfig | None = None,
    ) -> LogProbabilitySupport:
        """Whether the model gives log-probabilities in this constellation, found out by one short call.

        Raises ModelAway, QuotaExceeded, and ModelRefused where the refusal is about something else.
        """
        question = Message(Turn(role="user", parts=(Part(kind="text", text="Answer with the word yes."),)))
        request = ModelRequest(
            model, [question], declarations=declarations, config=config or GenerationConfig()
        )
        try:
            reply = self._generate(request, log_probabilities=True)
        except ModelRefused as error:
            if _is_about_log_probabilities(error):
                return "refused"
            raise
        return "given" if reply.message.turn.log_probabilities else "absent"

    def _generate(self, request: ModelRequest, *, log_probabilities: bool) -> ModelReply:
        contents = [_content(message) for message in request.contents]
        response, attempts = self._ask(request, contents, log_probabilities)
        return ModelReply(_message(response, attempts), _usage(response), attempts)

    def _ask(
        self, request: ModelRequest, contents: list[types.Content], log_probabilities: bool
    ) -> tuple[types.GenerateContentResponse, int]:
        deadline = time.monotonic() + request.timeout_seconds
        number = 0
        try:
            for attempt in stamina.retry_context(
                on=_backoff(deadline), attempts=self._max_attempts, timeout=None
            ):
                with attempt:
                    number = attempt.num
                    config = _config(request, log_probabilities, max(0.001, deadline - time.monotonic()))
                    return self._client.models.generate_content(
                        model=request.model, contents=list(contents), config=config
                    ), number
        except errors.APIError as error:
            raise _typed(error, request.model, number) from error
        except httpx2.TimeoutException as error:
            text = f"the model did not answer within {request.timeout_seconds:.0f} s ({number} tries)"
            raise ModelAway(text, attempts=number) from error
        except httpx2.TransportError as error:
            raise ModelAway(
                f"the model cannot be reached: {error} ({number} tries)", attempts=number
            ) from error
        except (errors.UnknownApiResponseError, json.JSONDecodeError) as error:
            raise ModelAway(f"the model's server answered no JSON: {error}", attempts=number) from error
        raise AssertionError("stamina ended without a result or an error")


def _thinks(config: GenerationConfig) -> bool:
    return config.thinking_budget != 0


def _is_about_log_probabilities(error: ModelError) -> bool:
    return (
        isinstance(error, ModelRefused)
        and error.code == 400
        and re.search(r"log.?prob", str(error), re.I) is not None
    )


def _config(request: ModelRequest, log_probabilities: bool, seconds: float) -> types.GenerateContentConfig:
    config = request.config
    thinking = None
    if config.thinking_budget is not None or config.thinking_level is not None:
        level = None if config.thinking_level is None else types.ThinkingLevel(config.thinking_level.upper())
        thinking = types.ThinkingConfig(thinking_budget=config.thinking_budget, thinking_level=level)
    tools: types.ToolListUnion | None = [_tool(request)] if request.declarations else None
    return types.GenerateContentConfig(
        system_instruction=request.system,
        temperature=config.temperature,
        top_p=config.top_p,
        max_output_tokens=config.max_output_tokens,
        candidate_count=1,
        seed=request.seed,
        response_logprobs=True if log_probabilities else None,
        thinking_config=thinking,
        tools=tools,
        # tools are run by our own loop alone; a longer answer is a finish reason, not more calls
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        http_options=types.HttpOptions(timeout=max(1, round(seconds * 1000))),
    )


def _tool(request: ModelRequest) -> types.Tool:
    return types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name=declaration["name"],
                description=declaration["description"],
                parameters_json_schema=declaration["parameters"],
            )
            for declaration in request.declarations
        ]
    )


def _content(message: Message) -> types.Content:
    """The turn as the library sends it; a turn of this model goes back exactly as it came."""
    if isinstance(message.raw, types.Content):
        return message.raw
    return types.Content(role=message.turn.role, parts=[_part(part) for part in message.turn.parts])


def _part(part: Part) -> types.Part:
    match part.kind:
        case "text":
            return types.Part(text=part.text, thought_signature=part.signature)
        case "thought":
            return types.Part(text=part.text, thought=True, thought_signature=part.signature)
        case "function_call":
            arguments = json.loads(part.arguments_json or "{}")
            call = types.FunctionCall(id=part.call_id, name=part.tool, args=arguments)
            return types.Part(function_call=call, thought_signature=part.signature)
        case "function_response":
            response = types.FunctionResponse(id=part.call_id, name=part.tool, response=_response(part))
            return types.Part(function_response=response)


def _response(part: Part) -> dict[str, Any]:
    if part.error is not None:
        return {"error": part.error}
    body = json.loads(part.response_json or "null")
    return body if isinstance(body, dict) else {"output": body}


def _message(response: types.GenerateContentResponse, attempts: int) -> Message:
    """The first candidate. A blocked prompt is an empty turn whose finish reason is the block's."""
    if not response.candidates:
        feedback = response.prompt_feedback
        reason = feedback.block_reason.value if feedback and feedback.block_reason else "NO_CANDIDATE"
        return Message(Turn(role="model", finish_reason=reason))
    candidate = response.candidates[0]
    content = candidate.content or types.Content(role="model", parts=[])
    return Message(
        Turn(
            role="model",
            parts=tuple(_record_part(part, attempts) for part in content.parts or ()),
            log_probabilities=_log_probabilities(candidate),
            finish_reason=candidate.finish_reason.value
            if candidate.finish_reason
            else "FINISH_REASON_UNSPECIFIED",
        ),
        raw=content,
    )


def _record_part(part: types.Part, attempts: int) -> Part:
    if part.function_call is not None:
        try:
            arguments = canonical_json(part.function_call.args or {})
        except ValueError as error:
            text = (
                f"the model called {part.function_call.name!r} with arguments that JSON cannot carry: {error}"
            )
            raise ModelRefused(text, attempts=attempts) from error
        return Part(
            kind="function_call",
            call_id=part.function_call.id,
            tool=part.function_call.name or "",
            arguments_json=arguments,
            signature=part.thought_signature,
        )
    if part.text is not None or part.thought_signature is not None:
        kind: Literal["thought", "text"] = "thought" if part.thought else "text"
        return Part(kind=kind, text=part.text or "", signature=part.thought_signature)
    held = ", ".join(sorted(part.model_dump(exclude_none=True))) or "nothing"
    raise ModelRefused(
        f"the model answered a part that holds {held}; text and calls can be used", attempts=attempts
    )


def _log_probabilities(candidate: types.Candidate) -> tuple[TokenLogProbability, ...]:
    """One entry a generated token, or none at all: a token without its figure makes a sum meaningless.

    Taken from the tokens, since the candidate's own average is that of its last part alone where the
    answer was put together from several.
    """
    result = candidate.logprobs_result
    chosen = (result.chosen_candidates if result else None) or []
    tokens = [
        TokenLogProbability(token=one.token or "", log_probability=one.log_probability)
        for one in chosen
        if one.log_probability is not None
    ]
    return tuple(tokens) if len(tokens) == len(chosen) else ()


def _usage(response: types.GenerateContentResponse) -> Usage:
    counts = response.usage_metadata or types.GenerateContentResponseUsageMetadata()
    return Usage(
        input_tokens=counts.prompt_token_count,
        cached_tokens=counts.cached_content_token_count,
        output_tokens=counts.candidates_token_count,
        thought_tokens=counts.thoughts_token_count,
        model_calls=1,
    )


def _backoff(deadline: float) -> Callable[[Exception], bool | float]:
    """Which failures are tried again, and after how long: the server's own delay where it names one."""

    def hook(error: Exception) -> bool | float:
        if isinstance(error, httpx2.TransportError):
            return time.monotonic() < deadline
        if not isinstance(error, errors.APIError) or not (error.code in (408, 429) or error.code >= 500):
            return False
        delay = _retry_delay(error)
        if time.monotonic() + (delay or 0.0) >= deadline:
            return False
        return True if delay is None else delay

    return hook


def _retry_delay(error: errors.APIError) -> float | None:
    """Seconds of the error's google.rpc.RetryInfo, such as `"retryDelay": "3.5s"`, else of its Retry-After
    header; None where absent."""
    details = error.details.get("error", {}) if isinstance(error.details, dict) else {}
    for detail in details.get("details") or []:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay", "")))
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo") and found:
            return float(found[1])
    header = str(getattr(error.response, "headers", {}).get("retry-after", ""))
    return float(header) if header.isdecimal() else None


def _typed(error: errors.APIError, model: str, attempts: int) -> ModelError:
    text = f"model {model!r} answered {error.code} {error.status or ''}: {error.message or 'no message'}"
    if error.code == 429:
        return QuotaExceeded(text, retry_after=_retry_delay(error), attempts=attempts)
    if error.code in _KEY_REFUSED:
        return ModelAway(f"{text}; check the API key or the machine's Google credentials", attempts=attempts)
    if error.code == 408 or error.code >= 500:
        return ModelAway(text, retry_after=_retry_delay(error), attempts=attempts)
    if error.code == 404 and error.status == "NOT_FOUND":
        return ModelGone(text, code=error.code, attempts=attempts)
    return ModelRefused(text, code=error.code, attempts=attempts)
