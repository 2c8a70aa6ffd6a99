"""Settings of the agent's side: the model, the ads platform, replays."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from schemas.names import Address
from schemas.settings import Absent, HttpUrl, Port, SettingsModel


class ModelSettings(SettingsModel):
    """The model behind google-genai: the local one, the Gemini API or Vertex AI."""

    name: Address = "opoi-local"
    """Model that the agent runs on if a request names no other."""
    base_url: Annotated[HttpUrl | None, Absent] = "http://127.0.0.1:18200"
    """URL of a server with the Gemini API; empty: Google's own."""
    api_key: SecretStr = SecretStr("local")
    """Key of the Gemini API; not used with `enterprise`."""
    api_version: Annotated[Address | None, Absent] = None
    """Version in the request path, such as v1; absent: the library's default."""
    enterprise: bool = False
    """Whether to use Vertex AI, with the machine's Google credentials instead of an API key."""
    project: Annotated[Address | None, Absent] = None
    """Google Cloud project; required with `enterprise`."""
    location: Annotated[Address | None, Absent] = None
    """Google Cloud location; required with `enterprise`."""

    @model_validator(mode="after")
    def _enterprise_is_whole(self) -> Self:
        if self.enterprise and (self.project is None or self.location is None):
            raise ValueError("enterprise also needs project and location")
        return self


class AdsSettings(SettingsModel):
    """The ads platform behind the reference agent's tools."""

    graph_url: HttpUrl = "http://127.0.0.1:18201"
    """URL of a server with the Marketing API; the real one is https://graph.facebook.com."""
    access_token: SecretStr = SecretStr("local")
    """Access token; a read-only one is enough, because replays never write."""
    api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v25.0"
    """Version of the Marketing API."""


class EndpointSettings(SettingsModel):
    """An agent that is served over HTTP."""

    url: HttpUrl
    """Its URL; runs start at /v1/runs below it."""
    token: Annotated[SecretStr | None, Absent] = None
    """Bearer token, if the agent asks for one."""


MICROS_PER_CENT = 10_000
"""Millionths of a US dollar in a cent."""


RUN_BYTES = 32 * 1024 * 1024


class ModelPrice(SettingsModel):
    """Prices of a million tokens of a model, in millionths of a US dollar."""

    input: Annotated[int, Field(ge=0)]
    """Prompt tokens."""
    cached: Annotated[int | None, Field(ge=0)] = None
    """Prompt tokens from a cache; absent: the price of `input`."""
    output: Annotated[int, Field(ge=0)]
    """Generated tokens, thought tokens included."""


class ReplaySettings(SettingsModel):
    """Bounds of the replay worker, and the secret of its oracles."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Largest number of replays in flight in one worker."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """Largest number of tries of one model call that answers 429 or 5xx."""
    max_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Largest number of seconds that one replay runs."""
    max_tokens: Annotated[int, Field(ge=1)] = 500_000
    """Largest number of tokens, in and out, of one replay."""
    max_turns: Annotated[int, Field(ge=1)] = 24
    """Largest number of model turns of one replay."""
    attempts_per_case: Annotated[int, Field(ge=1)] = 1000
    """Largest number of model calls of all runs of one case, tries after 429 and 5xx included."""
    tokens_per_case: Annotated[int, Field(ge=1)] = 20_000_000
    """Largest number of tokens, in and out, of all runs of one case."""
    seconds_per_case: Annotated[float, Field(gt=0)] = 21_600.0
    """Largest sum of seconds of all runs of one case."""
    cost_per_case: Annotated[int, Field(ge=0)] = 500
    """Largest cost of all runs of one case, in US cents."""
    attempts_per_day: Annotated[int | None, Absent] = None
    """Largest number of model calls of all runs of one agent and UTC day; absent: not bounded."""
    tokens_per_day: Annotated[int | None, Absent] = None
    """Largest number of tokens, in and out, of all runs of one agent and UTC day; absent: not bounded."""
    seconds_per_day: Annotated[float | None, Absent] = None
    """Largest sum of seconds of all runs of one agent and UTC day; absent: not bounded."""
    cost_per_day: Annotated[int, Field(ge=0)] = 20_000
    """Largest cost of all runs of one agent and UTC day, in US cents."""
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    """Prices by model name, as JSON: `input`, `cached` and `output`, in millionths of a US dollar for a
    million tokens. Without a price of the model, cost is not bounded."""
    oracle_secret: SecretStr = SecretStr("opoi-local")
    """Key of the nonce that delimits an oracle; `opoi up` makes one for each stack."""
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)
    """Agents over HTTP by name, as JSON: `url` and `token`. Overrides the endpoint of an AgentSpec."""
    answer_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds that an agent over HTTP has for one whole answer; its run may take longer than one answer."""
    max_run_bytes: Annotated[int, Field(ge=64 * 1024)] = RUN_BYTES
    """Bytes that opoi and an agent over HTTP may exchange in one run, both ways: start, polls, trace,
    tools."""
    tools_host: str = "127.0.0.1"
    """Address to listen on for the tool calls of agents over HTTP."""
    tools_port: Annotated[Port | None, Absent] = None
    """Port to listen on for these calls; absent: a free one."""
    tools_url: Annotated[HttpUrl | None, Absent] = None
    """URL at which agents reach that address, if it differs: a service's name, a proxy."""
