"""Settings of the agent's side: the model, the ads platform, replays."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from schemas.names import Address
from schemas.settings import Absent, HttpUrl, Port, SettingsModel


class ModelSettings(SettingsModel):
    """The model behind google-genai: the local one, the Gemini API or Vertex AI."""

    name: Address = "opoi-local"
    """Model that the agent runs on where a request names no other."""
    base_url: Annotated[HttpUrl | None, Absent] = "http://127.0.0.1:18200"
    """Server that speaks the Gemini API; empty: Google's own."""
    api_key: SecretStr = SecretStr("local")
    """Key of the Gemini API; not used with `enterprise`."""
    api_version: Annotated[Address | None, Absent] = None
    """Version in the request path, such as v1; absent: the library's default."""
    enterprise: bool = False
    """Speak to Vertex AI with the machine's Google credentials instead of an API key."""
    project: Annotated[Address | None, Absent] = None
    """Google Cloud project, with `enterprise`."""
    location: Annotated[Address | None, Absent] = None
    """Google Cloud location, with `enterprise`."""

    @model_validator(mode="after")
    def _enterprise_is_whole(self) -> Self:
        if self.enterprise and (self.project is None or self.location is None):
            raise ValueError("enterprise also needs project and location")
        return self


class AdsSettings(SettingsModel):
    """The ads platform behind the reference agent's tools."""

    graph_url: HttpUrl = "http://127.0.0.1:18201"
    """Server that speaks the Marketing API; https://graph.facebook.com is the real one."""
    access_token: SecretStr = SecretStr("local")
    """Access token; a read-only one is enough, since replays never write."""
    api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v25.0"
    """Version of the Marketing API."""


class EndpointSettings(SettingsModel):
    """An agent that is served over HTTP."""

    url: HttpUrl
    """Its address; runs are started at /v1/runs below it."""
    token: Annotated[SecretStr | None, Absent] = None
    """Bearer token for the agent, where it requires one."""


MICROS_PER_CENT = 10_000
"""Millionths of a US dollar in a cent."""


RUN_BYTES = 32 * 1024 * 1024


class ModelPrice(SettingsModel):
    """What a million tokens of a model cost, in millionths of a US dollar."""

    input: Annotated[int, Field(ge=0)]
    """Prompt tokens."""
    cached: Annotated[int | None, Field(ge=0)] = None
    """Prompt tokens served from a cache; absent: as `input`."""
    output: Annotated[int, Field(ge=0)]
    """Generated tokens, those of thought included."""


class ReplaySettings(SettingsModel):
    """Bounds of the replay worker, and the secret of its oracles."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Replays in flight in one worker."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """Tries of one model call that answers 429 or 5xx."""
    max_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Longest run of one replay."""
    max_tokens: Annotated[int, Field(ge=1)] = 500_000
    """Tokens, in and out, of one replay."""
    max_turns: Annotated[int, Field(ge=1)] = 24
    """Model turns of one replay."""
    attempts_per_case: Annotated[int, Field(ge=1)] = 1000
    """Model calls of all runs of one case, tries after 429 and 5xx included."""
    tokens_per_case: Annotated[int, Field(ge=1)] = 20_000_000
    """Tokens, in and out, of all runs of one case."""
    seconds_per_case: Annotated[float, Field(gt=0)] = 21_600.0
    """Length of all runs of one case, added up."""
    cost_per_case: Annotated[int, Field(ge=0)] = 500
    """Money for all runs of one case, US cents."""
    attempts_per_day: Annotated[int | None, Absent] = None
    """Model calls of all runs of one agent and UTC day; absent: not bounded."""
    tokens_per_day: Annotated[int | None, Absent] = None
    """Tokens, in and out, of all runs of one agent and UTC day; absent: not bounded."""
    seconds_per_day: Annotated[float | None, Absent] = None
    """Length of all runs of one agent and UTC day, added up; absent: not bounded."""
    cost_per_day: Annotated[int, Field(ge=0)] = 20_000
    """Money for all runs of one agent and UTC day, US cents."""
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    """Prices by model name, as JSON; money is bounded only where the model has one."""
    oracle_secret: SecretStr = SecretStr("opoi-local")
    """Key of the nonce that delimits an oracle; `opoi up` makes one for each stack."""
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)
    """Agents over HTTP by name, as JSON; overrides the endpoint of an AgentSpec."""
    answer_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Time for one whole answer of an agent over HTTP; a run itself takes longer."""
    max_run_bytes: Annotated[int, Field(ge=64 * 1024)] = RUN_BYTES
    """Bytes that opoi and an agent over HTTP exchange in one run, both ways: start, polls, trace, tools."""
    tools_host: str = "127.0.0.1"
    """Address on which agents over HTTP call their tools while a replay runs."""
    tools_port: Annotated[Port | None, Absent] = None
    """Its port; absent: a free one."""
    tools_url: Annotated[HttpUrl | None, Absent] = None
    """That address as agents reach it, where it differs: the name of a service, a proxy."""
