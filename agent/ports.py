"""The interfaces of a model and of tools as the runtime uses them, and how each can fail.

The types of a conversation are those of the records, so a run needs no translation to be stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from schemas.records import AnsweredBy, Effect, IntendedWrite, Turn, Usage


class GenerationConfig(BaseModel):
    """How a model generates; the canonical JSON of this is what records carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float | None = None
    """Sampling temperature; None: the model's own."""
    top_p: float | None = None
    """Nucleus; None: the model's own."""
    max_output_tokens: int | None = None
    """Most tokens of one turn; None: the model's own."""
    thinking_budget: int | None = None
    """Most tokens of thought of one turn; 0 turns thinking off, None leaves it to the model."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    """For the models that take a level instead of a budget."""
    log_probabilities: bool = True
    """Ask for the log-probability of every generated token, where the model gives them."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as a run holds it; `raw` is the model's own content, sent back unchanged (thought
    signatures included), None for turns that did not come from a model in this run."""

    turn: Turn
    raw: object | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. The declarations are JSON objects: name, description, parameters (JSON Schema)."""

    model: str
    contents: Sequence[Message]
    system: str | None = None
    declarations: Sequence[Mapping[str, Any]] = ()
    config: GenerationConfig = field(default_factory=GenerationConfig)
    seed: int | None = None
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """One turn of a model. `attempts` counts the requests it took, retries included."""

    message: Message
    usage: Usage
    attempts: int = 1


class Model(Protocol):
    """A model that calls tools. Implementations are safe to use from many threads."""

    def generate(self, request: ModelRequest) -> ModelReply:
        """The next turn. Raises ModelAway, QuotaExceeded, ModelRefused."""


class Target(NamedTuple):
    """What a run calls: the model, or an agent's own service. `name` has few values; `url` distinguishes two
    services of one name."""

    name: str
    url: str = ""


MODEL = Target("model")


class ModelError(Exception):
    """Base of how a model can fail; `attempts` counts the requests that were made, `retry_after` is the
    server's own delay in seconds, where it gave one, `target` is what failed."""

    def __init__(
        self, text: str, *, retry_after: float | None = None, attempts: int = 1, target: Target = MODEL
    ) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.attempts = attempts
        self.target = target


class ModelAway(ModelError):
    """The model cannot be reached, answers 5xx or rejects our key; wait and try again."""


class QuotaExceeded(ModelError):
    """The model's quota is used up."""


class ModelRefused(ModelError):
    """The model does not accept this request; asking again gives the same answer. `code` is the HTTP
    status, or None where the answer came but cannot be used."""

    def __init__(self, text: str, *, code: int | None = None, attempts: int = 1) -> None:
        super().__init__(text, attempts=attempts)
        self.code = code


class ModelGone(ModelRefused):
    """The server knows no model of this name, or no longer."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool answered: a JSON text and where it came from."""

    body: str
    answered_by: AnsweredBy = "live"
    fetched_at: datetime | None = None


class ToolError(Exception):
    """A tool's refusal, in words that the model may see: no secrets, no addresses."""

    answered_by: AnsweredBy = "error"


class ToolMiss(ToolError):
    """Nothing that was recorded can answer the call."""

    answered_by: AnsweredBy = "miss"


class ToolBox(Protocol):
    """The tools of one run. `call` may run in another thread than the run's."""

    @property
    def declarations(self) -> Sequence[Mapping[str, Any]]:
        """Name, description and parameters (JSON Schema) of each tool."""

    @property
    def intended_writes(self) -> Sequence[IntendedWrite]:
        """Writes that were simulated instead of made, in order."""

    def effect(self, tool: str) -> Effect | None:
        """Whether the tool reads or writes; None where there is no such tool."""

    def request_hash(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Canonical hash of the request. Raises ToolError where the arguments have no canonical form."""

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Answer one call. Raises ToolError, ToolMiss."""
