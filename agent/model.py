"""The model behind google-genai: the Gemini API, Vertex AI, or a local server that speaks its protocol.

Only this module and `agent.model_wire` import google-genai, which takes seconds: load it where a model is
needed.
"""

import json
import re
import time
from collections.abc import Callable

import httpx2
import stamina
from google import genai
from google.genai import errors, types

from agent.model_wire import content_of, generation_config, message_of, usage_of
from agent.ports import (
    GenerationConfig,
    ModelAway,
    ModelError,
    ModelGone,
    ModelRefused,
    ModelReply,
    ModelRequest,
    QuotaExceeded,
)
from agent.settings import ModelSettings
from schemas.names import ADDRESS_RULE, SHOWN, is_address

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
        """Closes the connections."""
        self._client.close()

    def generate(self, request: ModelRequest) -> ModelReply:
        """The model's next turn. Raises ModelAway, QuotaExceeded, ModelRefused.

        A model that refuses log-probabilities is asked again without them; later calls leave them out.
        """
        if not is_address(request.model):
            # the name is part of the URL, and a decision may name any
            named = repr(request.model[:SHOWN])
            raise ModelRefused(f"the model's name {named} {ADDRESS_RULE}", code=400, attempts=0)
        kind = (request.model, bool(request.declarations), _thinks(request.config))
        wanted = request.config.log_probabilities and kind not in self._without_log_probabilities
        try:
            return self._generate(request, log_probabilities=wanted)
        except ModelRefused as error:
            if not wanted or not _is_about_log_probabilities(error):
                raise
            self._without_log_probabilities.add(kind)
            return self._generate(request, log_probabilities=False)

    def _generate(self, request: ModelRequest, *, log_probabilities: bool) -> ModelReply:
        contents = [content_of(message) for message in request.contents]
        response, attempts = self._ask(request, contents, log_probabilities)
        return ModelReply(message_of(response, attempts), usage_of(response), attempts)

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
                    config = generation_config(
                        request, log_probabilities, max(0.001, deadline - time.monotonic())
                    )
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
