"""The HTTP contract between opoi and an agent, version 1.

opoi starts a run at the agent, the agent calls all of its tools at the run's `tools_url`, and the run ends
in a trace whose turns have the shape of the records. `openapi.yaml` beside this file is made from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from schemas.names import Identity
from schemas.record import Timestamp
from schemas.records import Action, Part, SubAgentRun, TraceStatus, Turn, Usage

VERSION = "1.0.0"
RUNS = "/v1/runs"
OPENAPI = "/v1/openapi.json"


class ContractModel(BaseModel):
    """Part of the contract: immutable, an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",
        protected_namespaces=(),
    )


class OraclePart(ContractModel):
    """One text part to put into the first user turn, unchanged, and nowhere else."""

    text: str
    """Its text, byte for byte."""
    turn: Literal[0] = 0
    """The turn that it belongs to: the first."""
    part: Annotated[int, Field(ge=0)]
    """Its index among that turn's parts; the parts before it are the question's."""


class DecisionContext(ContractModel):
    """The decision that is run again. `decided_at` is the run's only clock."""

    agent: str
    """Name of the agent, as its AgentSpec has it."""
    agent_version: str
    """Version that is to run."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision."""
    decided_at: Timestamp
    """What the clock says during the run."""
    account_time_zone: str
    """IANA name; relative dates resolve in it."""
    currency: str
    """ISO 4217 code."""
    attribution_setting: str | None = None
    """Attribution setting of the account's metrics, where it has one."""
    model: str
    """Model that is to run."""
    generation_config: dict[str, JsonValue] = {}
    """How it generates, in the agent's own terms."""
    prompt_id: str
    """sha256 of the system prompt that is to run."""
    toolset_id: str
    """sha256 of the tool declarations that are to run."""
    spec_id: str
    """sha256 of the AgentSpec."""
    input: JsonValue
    """What the agent was asked, as data."""
    question: Turn
    """The first user turn as it was; the oracle is not in it."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The input by name; empty where it is no object."""
        return self.input if isinstance(self.input, dict) else {}


class RunBudget(ContractModel):
    """Bounds of one run; a run that reaches one ends as `exhausted`."""

    max_turns: Annotated[int, Field(ge=1)]
    """Calls of the model."""
    max_output_tokens: Annotated[int, Field(ge=1)]
    """Generated tokens over all calls, thought included."""
    max_seconds: Annotated[float, Field(gt=0)]
    """Wall-clock seconds from the answer to the start."""


class RunRequest(ContractModel):
    """`POST /v1/runs`. The same body again is the same run; another body under its id is refused (409)."""

    run_id: Identity
    """The run."""
    decision: DecisionContext
    """The decision to run again."""
    oracle: OraclePart | None = None
    """The further part of the first user turn; null: none."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of all random choices."""
    budget: RunBudget
    """Bounds."""
    tools_url: str
    """Where every tool of the run is called: GET for declarations, POST for a call."""
    tools_token: str
    """Bearer token for `tools_url` and `callback_url`, valid for this run until it ends."""
    callback_url: str | None = None
    """Where the agent may POST the RunStatus when the run has ended, so that opoi need not poll."""


class RunTrace(ContractModel):
    """The result of a run, in the shape of the AgentTrace record."""

    run_id: Identity
    """The run."""
    decision_id: str
    """The decision that was run again."""
    status: TraceStatus
    """How it ended."""
    reason: str | None = None
    """Why, where not `completed`."""
    turns: tuple[Turn, ...] = ()
    """Every turn as the model saw and wrote it, the question first; the oracle's part marked."""
    sub_agent_runs: tuple[SubAgentRun, ...] = ()
    """Runs of sub-agents."""
    action: Action | None = None
    """What it decided; arguments as canonical JSON."""
    rationale: str | None = None
    """Why, in its words."""
    usage: Usage = Usage()
    """What it used. A cost in here is not counted: opoi prices the tokens."""
    attempts: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Requests to the model, repeated ones included."""


class RunStatus(ContractModel):
    """`GET /v1/runs/{run_id}`, and the answer to the start."""

    run_id: Identity
    """The run."""
    state: Literal["running", "ended"]
    """Whether it has ended."""
    trace: RunTrace | None = None
    """Its result; null while it runs."""


class ToolRequest(ContractModel):
    """`POST` to `tools_url`: one tool call. Repeated under its `call_id`, it has the same answer."""

    call_id: Identity
    """Unique within the run."""
    tool: str
    """Name of the tool."""
    arguments: dict[str, JsonValue] = {}
    """Its arguments."""


class ToolList(ContractModel):
    """`GET` of `tools_url`."""

    now: datetime
    """What the clock says during the run: the time of the decision."""
    declarations: tuple[dict[str, Any], ...]
    """Name, description and parameters (JSON Schema) of each tool."""


class Problem(ContractModel):
    """The body of every answer that is an error."""

    code: str
    """`invalid`, `unauthorized`, `unknown_run`, `run_conflict`, `call_conflict`, `version_skew`,
    `too_many_calls`, `too_large`, `busy` or `away`."""
    message: str
    """What was wrong, in one line."""


ToolAnswerPart = Part
"""The answer to a tool call: a `function_response` part, to put into the next user turn unchanged."""


class Breach(Exception):
    """A trace that opoi refuses; `code` names the clause of the contract, `status` is that of the run."""

    def __init__(self, code: str, text: str, status: TraceStatus = "failed") -> None:
        super().__init__(text)
        self.code = code
        self.status = status
