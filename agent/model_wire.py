"""Translates the records' turns to google-genai's types, and its answers back."""

import json
import math
from typing import Any, Literal

from google.genai import types

from agent.ports import Message, ModelRefused, ModelRequest
from schemas.identity import canonical_json
from schemas.records import Part, TokenLogProbability, Turn, Usage


def generation_config(
    request: ModelRequest, log_probabilities: bool, seconds: float
) -> types.GenerateContentConfig:
    """The configuration of one call, which may take `seconds`."""
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
        http_options=types.HttpOptions(timeout=math.ceil(seconds * 1000)),
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


def content_of(message: Message) -> types.Content:
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


def message_of(response: types.GenerateContentResponse, attempts: int) -> Message:
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
    """One entry for each generated token, or none at all: with one missing, a sum is meaningless.

    Taken from the tokens: where the answer was put together from several parts, the candidate's average is
    that of the last part alone.
    """
    result = candidate.logprobs_result
    chosen = (result.chosen_candidates if result else None) or []
    tokens = [
        TokenLogProbability(token=one.token or "", log_probability=one.log_probability)
        for one in chosen
        if one.log_probability is not None
    ]
    return tuple(tokens) if len(tokens) == len(chosen) else ()


def usage_of(response: types.GenerateContentResponse) -> Usage:
    """What one answer used; a count that the server does not give is absent."""
    counts = response.usage_metadata or types.GenerateContentResponseUsageMetadata()
    return Usage(
        input_tokens=counts.prompt_token_count,
        cached_tokens=counts.cached_content_token_count,
        output_tokens=counts.candidates_token_count,
        thought_tokens=counts.thoughts_token_count,
        model_calls=1,
    )
