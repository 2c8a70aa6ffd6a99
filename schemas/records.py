"""Typed records, generated from `schemas/avsc` by `python -m schemas.generate`: do not edit."""

from typing import ClassVar, Literal

from schemas.record import Int, Long, Record, Timestamp


class Action(Record):
    """One action as the agent or the expert names it."""

    schema_name: ClassVar[str] = "opoi.Action"

    name: str
    """Name in the AgentSpec's action enumeration."""
    target: str | None = None
    """What it acts on, e.g. a campaign id; null where the action needs none."""
    arguments_json: str = "{}"
    """Arguments as canonical JSON (RFC 8785); money in integer minor units."""


# Who speaks in a turn.
Role = Literal["user", "model"]


# What a part of a turn holds.
PartKind = Literal["text", "thought", "function_call", "function_response"]


# What a tool call does to the world.
Effect = Literal["read", "write"]


# Where a tool response came from: the live tool, or in a replay the recording, an answer computed from a recorded superset, the as-of snapshot, a simulated write; `miss`: nothing could answer; `error`: the call itself was at fault.
AnsweredBy = Literal["live", "recording", "superset", "snapshot", "simulated", "miss", "error"]


class Part(Record):
    """One part of a turn; which fields are set follows from `kind`."""

    schema_name: ClassVar[str] = "opoi.Part"

    kind: PartKind
    """What the part holds."""
    text: str | None = None
    """Text of a text or thought part."""
    call_id: str | None = None
    """Id that pairs a function call with its response."""
    tool: str | None = None
    """Tool name of a call or response."""
    arguments_json: str | None = None
    """Arguments of a call, canonical JSON."""
    response_json: str | None = None
    """Response body, JSON."""
    request_hash: str | None = None
    """sha256 of the canonical request (tool and normalised arguments) that a response answers."""
    fetched_at: Timestamp | None = None
    """When the response was fetched from the live tool."""
    effect: Effect | None = None
    """Whether the tool reads or writes."""
    answered_by: AnsweredBy | None = None
    """Where a response came from."""
    error: str | None = None
    """Error that the model was shown instead of a result."""
    signature: bytes | None = None
    """Thought signature, opaque; never leaves in a training example."""
    is_oracle: bool = False
    """True on the one part that carries the oracle."""


class TokenLogProbability(Record):
    """One generated token and its log-probability."""

    schema_name: ClassVar[str] = "opoi.TokenLogProbability"

    token: str
    """Token text."""
    log_probability: float
    """Natural-log probability, nats."""


class Turn(Record):
    """One turn of a conversation."""

    schema_name: ClassVar[str] = "opoi.Turn"

    role: Role
    """Who speaks."""
    parts: tuple[Part, ...] = ()
    """Its parts, in order."""
    log_probabilities: tuple[TokenLogProbability, ...] = ()
    """Of the generated tokens, where the model gives them; empty where not."""
    finish_reason: str | None = None
    """Why generation stopped; null on user turns."""


class Usage(Record):
    """What a run used."""

    schema_name: ClassVar[str] = "opoi.Usage"

    input_tokens: Long | None = None
    """Prompt tokens over all calls."""
    cached_tokens: Long | None = None
    """Prompt tokens served from a cache."""
    output_tokens: Long | None = None
    """Generated tokens."""
    thought_tokens: Long | None = None
    """Tokens of thought."""
    model_calls: Int = 0
    """Calls of the model."""
    tool_calls: Int = 0
    """Calls of tools."""
    cost_micros: Long | None = None
    """Cost in millionths of one unit of `cost_currency`; null where no price is known."""
    cost_currency: str | None = None
    """ISO 4217 code."""


class SubAgentRun(Record):
    """A run of an analysis sub-agent; runs form a tree through parent_id."""

    schema_name: ClassVar[str] = "opoi.SubAgentRun"

    run_id: str
    """Unique within the trace."""
    parent_id: str | None = None
    """Run that called it; null: the main run."""
    name: str
    """Name of the sub-agent."""
    prompt_id: str | None = None
    """sha256 of its system prompt."""
    turns: tuple[Turn, ...] = ()
    """Its turns."""
    usage: Usage | None = None
    """What it used."""


class SnapshotEntry(Record):
    """One response of the as-of snapshot taken at decision time."""

    schema_name: ClassVar[str] = "opoi.SnapshotEntry"

    tool: str
    """Tool name."""
    arguments_json: str
    """Arguments, canonical JSON."""
    request_hash: str
    """sha256 of the canonical request."""
    response_json: str
    """Response body, JSON."""
    fetched_at: Timestamp
    """When it was fetched."""


class AgentDecision(Record):
    """One decision of the production agent, with everything needed to run it again."""

    schema_name: ClassVar[str] = "opoi.AgentDecision"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    agent_version: str
    """Version of the agent."""
    account_time_zone: str
    """IANA name; relative dates resolve in it."""
    currency: str
    """ISO 4217 code of the account."""
    attribution_setting: str | None = None
    """Attribution setting of the account's metrics."""
    segment: str
    """Segment by the AgentSpec's rule, for drift and analysis."""
    decided_at: Timestamp
    """When the agent decided."""
    prompt_id: str
    """sha256 of the system prompt, an artifact."""
    toolset_id: str
    """sha256 of the tool declarations, an artifact."""
    spec_id: str
    """sha256 of the AgentSpec, an artifact."""
    model: str
    """Model name."""
    generation_config_json: str = "{}"
    """Generation config, canonical JSON."""
    input_json: str
    """What the agent was asked, canonical JSON."""
    turns: tuple[Turn, ...] = ()
    """Every turn of the main run, the input first."""
    sub_agent_runs: tuple[SubAgentRun, ...] = ()
    """Runs of sub-agents."""
    snapshot: tuple[SnapshotEntry, ...] = ()
    """The as-of snapshot; empty where none was taken."""
    action: Action
    """What the agent decided."""
    rationale: str
    """Why, in its words."""
    usage: Usage
    """What the run used."""
    finish_reason: str | None = None
    """Why the last generation stopped."""


# What kind of model run a replay is.
ReplayArm = Literal["unhinted", "opoi", "wrong_oracle", "corrector_sft", "redecision", "judge"]


class TargetAgent(Record):
    """Which agent a replay runs."""

    schema_name: ClassVar[str] = "opoi.TargetAgent"

    agent_version: str
    """Version of the agent."""
    prompt_id: str
    """sha256 of the system prompt."""
    toolset_id: str
    """sha256 of the tool declarations."""
    spec_id: str
    """sha256 of the AgentSpec."""
    model: str
    """Model name."""
    endpoint: str | None = None
    """Where an agent over HTTP is served; null: the built-in runtime."""
    generation_config_json: str = "{}"
    """Generation config with the thinking setting, canonical JSON."""


# How a run ended: `completed` with a decision; `invalid`: it ended without a valid one; `refused`: the model would not go on; `exhausted`: a budget ran out; `failed`: a fault outside the model's answer; `cancelled`: a newer verdict took its place; `version_skew`: the decision's prompt, toolset or model no longer runs.
TraceStatus = Literal["completed", "invalid", "refused", "exhausted", "failed", "cancelled", "version_skew"]


class IntendedWrite(Record):
    """A write that a replay simulated."""

    schema_name: ClassVar[str] = "opoi.IntendedWrite"

    tool: str
    """Tool name."""
    arguments_json: str
    """Arguments, canonical JSON."""


class Cause(Record):
    """Coordinates and id of a record that led to another one."""

    schema_name: ClassVar[str] = "opoi.Cause"

    topic: str
    """Logical topic name."""
    partition: Int
    """Partition."""
    offset: Long
    """Offset."""
    id: str
    """Id of the record there."""


class AgentTrace(Record):
    """One run of the agent, whole."""

    schema_name: ClassVar[str] = "opoi.AgentTrace"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict that the case belongs to."""
    revision: Int
    """Revision of that verdict, from 1."""
    replay_id: str
    """uuid5 of agent, decision, verdict, revision, arm, strength, sample and target agent version."""
    arm: ReplayArm
    """What kind of run."""
    strength: Int
    """0: no oracle; 1: action only; 2: action and where to look."""
    sample: Int
    """From 0."""
    target: TargetAgent
    """Which agent runs."""
    status: TraceStatus
    """How it ended."""
    reason: str | None = None
    """Why, where not completed."""
    turns: tuple[Turn, ...] = ()
    """Every turn, the input first; the oracle's part marked."""
    sub_agent_runs: tuple[SubAgentRun, ...] = ()
    """Runs of sub-agents."""
    action: Action | None = None
    """What it decided."""
    rationale: str | None = None
    """Why, in its words."""
    misses: Int = 0
    """Tool calls that nothing recorded could answer."""
    intended_writes: tuple[IntendedWrite, ...] = ()
    """Writes it would have made."""
    usage: Usage
    """What it used."""
    attempts: Int = 1
    """Model attempts, retries after 429 and 5xx included."""
    started_at: Timestamp
    """Start of the run."""
    finished_at: Timestamp
    """End of the run."""
    case_number: Int = 0
    """Case number of its request."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# State of an alert.
AlertState = Literal["firing", "resolved", "no_data"]


class Alert(Record):
    """One change of state of one alert."""

    schema_name: ClassVar[str] = "opoi.Alert"

    fingerprint: str
    """Hash of the labels."""
    name: str
    """Name of the alert."""
    state: AlertState
    """The new state."""
    labels: dict[str, str] = {}
    """Labels."""
    annotations: dict[str, str] = {}
    """Annotations."""
    value: float | None = None
    """The statistic."""
    threshold: float | None = None
    """Its threshold."""
    starts_at: Timestamp
    """When it began."""
    ends_at: Timestamp | None = None
    """When it ended."""
    generator_url: str | None = None
    """Where to look."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# What an artifact holds.
ArtifactKind = Literal["system_prompt", "toolset", "agent_spec"]


class Artifact(Record):
    """Content shared by many records, by its hash."""

    schema_name: ClassVar[str] = "opoi.Artifact"

    artifact_id: str
    """sha256 of the content, hexadecimal."""
    kind: ArtifactKind
    """What it is."""
    agent: str
    """Name of the agent."""
    name: str
    """Name for people."""
    version: str
    """Version for people."""
    media_type: str
    """MIME type of the content."""
    content: bytes
    """The content."""
    registered_at: Timestamp
    """When it was registered."""


class Budget(Record):
    """Bounds of one replay."""

    schema_name: ClassVar[str] = "opoi.Budget"

    max_turns: Int
    """Model calls."""
    max_output_tokens: Int
    """Generated tokens over all calls."""
    max_seconds: Int
    """Wall-clock seconds."""
    max_cost_micros: Long | None = None
    """Millionths of one currency unit; null: not bounded."""


class Cancellation(Record):
    """Replays of a decision that are no longer wanted, since another verdict counts now."""

    schema_name: ClassVar[str] = "opoi.Cancellation"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    case_number: Int
    """Requests of this decision with a lower case number are not to be run."""
    reason: str
    """Short stable code: what took the verdict's place."""
    until: Timestamp
    """Deadline of the last request that it cancels; it says nothing past that."""
    cancelled_at: Timestamp
    """Broker time of the review that led to it."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# `complete`: all that was wanted is in; `deadline`: closed by its deadline with what there was; `withdrawn`: the verdict no longer stands.
CaseStatus = Literal["complete", "deadline", "withdrawn"]


class CaseTry(Record):
    """One replay of a case and what it gave."""

    schema_name: ClassVar[str] = "opoi.CaseTry"

    replay_id: str
    """The replay."""
    strength: Int
    """Oracle strength, 0 for none."""
    sample: Int
    """From 0."""
    status: TraceStatus | None = None
    """Null where no trace came before the deadline."""
    hit: bool = False
    """Whether it reached the expert's action."""
    misses: Int = 0
    """Tool calls that nothing recorded could answer."""
    failed_gate: str | None = None
    """First gate that refused it; null where none did."""
    trace_offset: Long | None = None
    """Offset of the trace that counts."""
    trace: bytes | None = None
    """Its framed AgentTrace, byte for byte: of the chosen try and of the first that completed; null elsewhere."""
    reason: str | None = None
    """Why it did not complete."""
    followed: bool = False
    """Whether it reached the action that its oracle named."""


class CaseArm(Record):
    """The tries of one replay arm and the chosen trace."""

    schema_name: ClassVar[str] = "opoi.CaseArm"

    arm: ReplayArm
    """The arm."""
    tries: tuple[CaseTry, ...] = ()
    """In the order they were asked for."""
    hits: Int = 0
    """Tries that reached the expert's action."""
    stop_reason: str
    """Why no more were asked for."""
    chosen_replay_id: str | None = None
    """The try whose trace goes on; null where none does."""


class Spent(Record):
    """What runs used, summed."""

    schema_name: ClassVar[str] = "opoi.Spent"

    runs: Int = 0
    """Runs that were counted."""
    attempts: Int = 0
    """Model attempts, retries after 429 and 5xx included."""
    tokens: Long = 0
    """Tokens in and out, those of thought included."""
    seconds: float = 0.0
    """Wall-clock seconds of the runs, one after the other."""
    cost_micros: Long | None = None
    """Money in millionths of one US dollar; null where no run's model has a price in the settings."""
    unpriced_runs: Int = 0
    """Runs whose model has no price in the settings; while there are any, money is not bounded by them."""


class Case(Record):
    """Everything the sanitizer needs about one reviewed decision."""

    schema_name: ClassVar[str] = "opoi.Case"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict that the case belongs to."""
    revision: Int
    """Revision of that verdict, from 1."""
    round: Int = 1
    """Training round."""
    issue_number: Int = 1
    """Counts the closings of cases of this decision, over all its verdicts."""
    status: CaseStatus
    """How it was closed."""
    review: bytes
    """The framed Review."""
    unhinted_request_hash: str | None = None
    """sha256 of the canonical request without an oracle; null where nothing was replayed."""
    arms: tuple[CaseArm, ...] = ()
    """What was run; empty where nothing was."""
    closed_at: Timestamp
    """Broker time of the input that closed it."""
    control_sample: bool = False
    """Whether every arm ran a fixed number of times; rates are compared among such cases only."""
    stop_reason: str | None = None
    """Why no more runs were asked for."""
    missing: str | None = None
    """What no longer runs, where the stop reason is `version_skew`."""
    spent: Spent | None = None
    """What all its runs used; null where nothing was run."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# Where the trigger stands with a case.
CasePhase = Literal["unhinted", "hinted", "closed", "held"]


class CaseRequest(Record):
    """One replay that the trigger asked for, and what came back."""

    schema_name: ClassVar[str] = "opoi.CaseRequest"

    replay_id: str
    """The replay."""
    arm: ReplayArm
    """What kind of run."""
    strength: Int
    """Oracle strength."""
    sample: Int
    """From 0."""
    requested_at: Timestamp
    """Broker time of the input that led to it."""
    requested_by: Cause
    """Input that led to it."""
    status: TraceStatus | None = None
    """Null until its trace came."""
    hit: bool = False
    """Whether it reached the expert's action."""
    misses: Int = 0
    """Tool calls that nothing recorded could answer."""
    failed_gate: str | None = None
    """First gate that refused it."""
    trace_cause: Cause | None = None
    """Where the trace that counts came from."""
    trace: bytes | None = None
    """The framed AgentTrace; null before it came and once the case is forgotten."""
    reason: str | None = None
    """Why it did not complete."""
    followed: bool = False
    """Whether it reached the action that its oracle named."""
    spent: Spent | None = None
    """What it used; null until its trace came."""


class CaseState(Record):
    """What the trigger keeps of one decision."""

    schema_name: ClassVar[str] = "opoi.CaseState"

    review: bytes | None = None
    """The framed Review; null once the case is forgotten."""
    review_cause: Cause
    """Where it came from."""
    account_id: str
    """Account."""
    verdict_id: str
    """The verdict."""
    revision: Int
    """Its revision."""
    round: Int = 1
    """Training round."""
    issue_number: Int = 0
    """Counts the closings of cases of this decision."""
    phase: CasePhase
    """Where it stands."""
    requests: tuple[CaseRequest, ...] = ()
    """What was asked for, in order."""
    case_emitted: bool = False
    """Whether a case of this decision ever went out."""
    stop_reason: str | None = None
    """Why no more replays were asked for."""
    closed_status: CaseStatus | None = None
    """How it was closed."""
    closed_by: Cause | None = None
    """Input that closed it."""
    closed_at: Timestamp | None = None
    """Broker time of that input."""
    pending: tuple[Cause, ...] = ()
    """Inputs whose disposition is still pending."""
    deadline_at: Timestamp | None = None
    """When it closes with what there is."""
    forget_at: Timestamp | None = None
    """When the bytes are dropped."""
    case_number: Int = 0
    """Counts the cases of the decision; another verdict begins the next one."""
    control_sample: bool = False
    """Whether every arm runs a fixed number of times."""
    replaced: tuple[Cause, ...] = ()
    """Inputs of the case before that were still pending when this one took its place."""
    cancels_until: Timestamp | None = None
    """Deadline of the requests of the case before that were still open; null where there were none."""


# Which training set a row belongs to.
DatasetArm = Literal["unhinted_control", "rejection_sampled", "corrector_sft", "opoi"]


class PartitionCut(Record):
    """How far an export read one partition."""

    schema_name: ClassVar[str] = "opoi.PartitionCut"

    topic: str
    """Logical topic name."""
    partition: Int
    """Partition."""
    offset: Long
    """First offset not read."""


class DatasetExport(Record):
    """One training set taken out."""

    schema_name: ClassVar[str] = "opoi.DatasetExport"

    export_id: str
    """Content hash of the rows."""
    agent: str
    """Name of the agent."""
    arm: DatasetArm
    """Which set."""
    round: Int = 1
    """Training round."""
    gate_set: str
    """Gate configuration of its rows."""
    cuts: tuple[PartitionCut, ...] = ()
    """What was read."""
    example_ids: tuple[str, ...] = ()
    """Rows in it."""
    rows: Long
    """Number of rows."""
    uri: str | None = None
    """Where it was written."""
    exported_at: Timestamp
    """When."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# What became of one input at one stage; `pending` is followed by a closing outcome.
DispositionOutcome = Literal[
    "emitted", "duplicate", "superseded", "expired", "rejected", "dead", "withdrawn", "pending"
]


class Disposition(Record):
    """What became of one input at one stage."""

    schema_name: ClassVar[str] = "opoi.Disposition"

    stage: str
    """The stage."""
    topic: str
    """Logical topic of the input."""
    partition: Int
    """Its partition."""
    offset: Long
    """Its offset."""
    id: str | None = None
    """Id of the record; null where it could not be read."""
    outcome: DispositionOutcome
    """What became of it."""
    reason: str
    """Short stable code."""
    recorded_at: Timestamp
    """Broker time of the input that decided it."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class DriftReference(Record):
    """A frozen reference of daily values per segment."""

    schema_name: ClassVar[str] = "opoi.DriftReference"

    reference_id: str
    """Content hash."""
    agent: str
    """Name of the agent."""
    model: str
    """Model that it holds for."""
    method: str
    """Score that it is of."""
    first_day: str
    """First day, ISO 8601."""
    last_day: str
    """Last day, ISO 8601."""
    segments: tuple[str, ...] = ()
    """Segments in it."""
    values_json: str
    """Per segment the daily values, JSON."""
    frozen_at: Timestamp
    """When."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class EndOffset(Record):
    """Where a source partition ended when the tick was made."""

    schema_name: ClassVar[str] = "opoi.EndOffset"

    topic: str
    """Logical topic name."""
    offset: Long
    """Next offset to be written."""


class EvalSet(Record):
    """A frozen set of held-out prompts."""

    schema_name: ClassVar[str] = "opoi.EvalSet"

    eval_set_id: str
    """Content hash."""
    agent: str
    """Name of the agent."""
    name: str
    """Name for people."""
    decision_ids: tuple[str, ...] = ()
    """Decisions whose prompts are in it."""
    frozen_at: Timestamp
    """When."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class EvaluationRun(Record):
    """One run of one model on one held-out prompt."""

    schema_name: ClassVar[str] = "opoi.EvaluationRun"

    eval_item_id: str
    """Item of the evaluation set."""
    eval_set_id: str
    """The set."""
    agent: str
    """Name of the agent."""
    account_id: str
    """Account."""
    decision_id: str
    """Decision whose prompt it is."""
    model: str
    """Model name."""
    run: Int
    """From 0."""
    arm: DatasetArm | None = None
    """Training set of the model; null: the base."""
    status: TraceStatus
    """How the run ended."""
    action: Action | None = None
    """What it decided."""
    matches_expert: bool | None = None
    """Whether the action is the expert's."""
    log_probability_sum: float | None = None
    """Over its generated tokens, nats."""
    token_count: Long | None = None
    """Generated tokens with a log-probability."""
    turns: tuple[Turn, ...] = ()
    """The run."""
    evaluated_at: Timestamp
    """When."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# Where the conversation of a training example came from.
ExampleSource = Literal["own_trace", "unhinted", "hinted", "corrector"]


# Whether this version of a training example stands.
ExampleState = Literal["live", "withdrawn"]


# What the expert said.
VerdictKind = Literal["approve", "decline", "correct", "retract"]


class ExpertVerdict(Record):
    """One revision of one expert's verdict on one decision."""

    schema_name: ClassVar[str] = "opoi.ExpertVerdict"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict."""
    revision: Int = 1
    """From 1; a later one supersedes."""
    expert: str
    """Pseudonym of the expert."""
    kind: VerdictKind
    """What the expert said."""
    corrected_action: Action | None = None
    """What the agent should have done; set where kind is `correct`."""
    rationale: str | None = None
    """Why, in the expert's words."""
    rule_tag: str | None = None
    """Tag of the rule that the expert applied."""
    given_at: Timestamp
    """When the verdict was given."""
    outcome_known: bool = False
    """Whether the expert already knew how the decision turned out."""
    adjudicates: tuple[str, ...] = ()
    """Ids of the disagreeing verdicts that this one decides between."""


# Why the agent's decision differed from the expert's.
GapClass = Literal[
    "no_gap", "performance_gap", "obedience", "architecture_gap", "unreplayable", "version_skew"
]


class GapReport(Record):
    """The gap class of one corrected verdict."""

    schema_name: ClassVar[str] = "opoi.GapReport"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict that the case belongs to."""
    revision: Int
    """Revision of that verdict, from 1."""
    round: Int = 1
    """Training round."""
    gap_class: GapClass
    """The class."""
    unhinted_runs: Int = 0
    """Un-hinted runs that ended."""
    unhinted_hits: Int = 0
    """Of these, how many reached the expert's action."""
    hinted_runs: Int = 0
    """Hinted runs that ended."""
    hinted_hits: Int = 0
    """Of these, how many reached it."""
    missed_runs: Int = 0
    """Hinted runs with a tool call that nothing recorded could answer."""
    missing_fact_json: str | None = None
    """The fact that the agent lacked, as structure, where the class is architecture_gap."""
    reported_at: Timestamp
    """Broker time of the case."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# What a gate said.
GateOutcome = Literal["pass", "reject", "route"]


class GateRecord(Record):
    """One immutable decision of one gate."""

    schema_name: ClassVar[str] = "opoi.GateRecord"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict that the case belongs to."""
    revision: Int
    """Revision of that verdict, from 1."""
    round: Int = 1
    """Training round."""
    arm: str
    """Replay arm or dataset arm that was judged."""
    replay_id: str | None = None
    """The replay; null where the agent's own trace was judged."""
    gate: str
    """Name of the gate."""
    gate_version: str
    """Version of the gate."""
    gate_set: str
    """Hash of the gate configuration."""
    outcome: GateOutcome
    """What it said."""
    reason_code: str
    """Short stable code; `ok` where it passed."""
    evidence_json: str = "{}"
    """Evidence as JSON."""
    metrics: dict[str, float] = {}
    """Figures that the gate computed."""
    input_hash: str
    """sha256 of what it looked at."""
    recorded_at: Timestamp
    """Broker time of the case."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# State of a tuning job.
JobState = Literal["pending", "running", "succeeded", "failed", "cancelled"]


class JoinVerdict(Record):
    """The highest revision of one verdict, in the join's table."""

    schema_name: ClassVar[str] = "opoi.JoinVerdict"

    verdict: ExpertVerdict
    """The verdict."""
    hash: str
    """sha256 of its framed bytes."""
    cause: Cause
    """Where it came from."""
    arrived_at: Timestamp
    """Broker time."""


# What the join found: `joined`: decision and effective verdict; `no_verdict`: the decision expired without one; `decision_missing`: the verdict expired without its decision; `retracted`: the verdict that counted was taken back; `conflict`: experts disagree, held until an adjudicating verdict.
ReviewStatus = Literal["joined", "no_verdict", "decision_missing", "retracted", "conflict"]


class JoinState(Record):
    """What the join keeps of one decision."""

    schema_name: ClassVar[str] = "opoi.JoinState"

    decision: bytes | None = None
    """The framed AgentDecision; null before it came and after the horizon."""
    decision_hash: str | None = None
    """sha256 of its framed bytes; stays after the horizon."""
    decision_cause: Cause | None = None
    """Where it came from."""
    account_id: str | None = None
    """Account."""
    decided_at: Timestamp | None = None
    """When the agent decided."""
    decision_arrived_at: Timestamp | None = None
    """Broker time."""
    verdicts: tuple[JoinVerdict, ...] = ()
    """The highest revision of each verdict, by arrival."""
    emitted_status: ReviewStatus | None = None
    """Status of the last review."""
    emitted_verdict_id: str | None = None
    """Verdict of the last review."""
    emitted_revision: Int | None = None
    """Its revision."""
    emitted_by: Cause | None = None
    """Input that led to it."""
    emitted_at: Timestamp | None = None
    """Broker time of that input."""
    pending: tuple[Cause, ...] = ()
    """Inputs whose disposition is still pending."""
    expires_at: Timestamp | None = None
    """When it expires unjoined; null once joined or expired."""
    horizon_at: Timestamp | None = None
    """When the decision's bytes are dropped; null before a join or an expiry, and after."""


class LineageEntry(Record):
    """One thing that a training example came from."""

    schema_name: ClassVar[str] = "opoi.LineageEntry"

    kind: str
    """What it is: decision, verdict, trace, system_prompt, toolset, agent_spec, model, gate_set."""
    id: str
    """Its id."""
    hash: str | None = None
    """sha256 of its bytes, where it has any here."""


class TextScore(Record):
    """Log-probability of one kind of text."""

    schema_name: ClassVar[str] = "opoi.TextScore"

    kind: str
    """Kind of text: all, rationale, action, tool_call."""
    log_probability_sum: float
    """Nats."""
    token_count: Long
    """Tokens."""


class OodScore(Record):
    """Scores of one decision under a pair of models."""

    schema_name: ClassVar[str] = "opoi.OodScore"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    segment: str
    """Segment of the decision."""
    base_model: str
    """Base model."""
    tuned_model: str | None = None
    """Tuned model; null where only one is scored."""
    method: str
    """Name of the score: self_conf, llr, action_llr."""
    base_scores: tuple[TextScore, ...] = ()
    """Under the base model."""
    tuned_scores: tuple[TextScore, ...] = ()
    """Under the tuned model."""
    log_likelihood_ratio: float | None = None
    """log p_base(x) - log p_tuned(x) on the same text, nats; null where not both were scored."""
    decided_at: Timestamp
    """When the agent decided."""
    scored_at: Timestamp
    """When it was scored."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class Rejection(Record):
    """What a stage refused, by which gate, and why."""

    schema_name: ClassVar[str] = "opoi.Rejection"

    stage: str
    """The stage."""
    agent: str | None = None
    """Name of the agent."""
    account_id: str | None = None
    """Account."""
    decision_id: str | None = None
    """The decision."""
    verdict_id: str | None = None
    """The verdict."""
    revision: Int | None = None
    """Its revision."""
    arm: str | None = None
    """The arm, where one was refused."""
    replay_id: str | None = None
    """The replay, where one was refused."""
    gate: str
    """The gate or rule."""
    reason_code: str
    """Short stable code."""
    reason: str
    """What was wrong, the actual value, the limit, what to do next."""
    evidence_json: str = "{}"
    """Evidence as JSON."""
    rejected_at: Timestamp
    """Broker time of the refused input."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class ReplayRequest(Record):
    """One model run that a review needs."""

    schema_name: ClassVar[str] = "opoi.ReplayRequest"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict that the case belongs to."""
    revision: Int
    """Revision of that verdict, from 1."""
    replay_id: str
    """uuid5 of agent, decision, verdict, revision, arm, strength, sample and target agent version."""
    arm: ReplayArm
    """What kind of run."""
    strength: Int
    """0: no oracle; 1: action only; 2: action and where to look."""
    sample: Int
    """From 0."""
    target: TargetAgent
    """Which agent runs."""
    oracle: str | None = None
    """The oracle's text, as one user part; null where there is none."""
    decision: bytes
    """The framed AgentDecision as it came."""
    budget: Budget
    """Its bounds."""
    requested_at: Timestamp
    """Broker time of the input that led to it."""
    deadline_at: Timestamp
    """After this its result is of no use."""
    case_number: Int = 0
    """Counts the cases of the decision; another verdict begins the next one."""
    verdict: ExpertVerdict | None = None
    """The verdict, for arms that are told of it; null elsewhere."""
    turns: tuple[Turn, ...] = ()
    """The conversation that the run goes on from or judges; empty for arms that begin with the decision's own first turn."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


# Which part of the data a decision belongs to; a pure function of account and time.
Split = Literal["train", "validation", "test"]


class Review(Record):
    """A decision joined with the verdict that counts, or what is missing of the pair."""

    schema_name: ClassVar[str] = "opoi.Review"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    status: ReviewStatus
    """What the join found."""
    verdict_id: str | None = None
    """The verdict; null where there is none."""
    revision: Int | None = None
    """Its revision."""
    decision: bytes | None = None
    """The framed AgentDecision as it came, byte for byte."""
    verdict: ExpertVerdict | None = None
    """The verdict that counts."""
    conflicting_verdict_ids: tuple[str, ...] = ()
    """The verdicts that disagree, where status is `conflict`."""
    split: Split | None = None
    """Null where the decision is missing."""
    time_to_verdict_ms: Long | None = None
    """From decided_at to given_at, milliseconds."""
    reviewed_at: Timestamp
    """Broker time of the input that completed it."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class Spending(Record):
    """What one model run used; a run that was bought twice is there twice."""

    schema_name: ClassVar[str] = "opoi.Spending"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    replay_id: str
    """The replay that was run."""
    arm: ReplayArm
    """What kind of run."""
    model: str
    """Model name."""
    spent: Spent
    """What it used."""
    spent_at: Timestamp
    """End of the run; its UTC day is the one whose budget it counts against."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class Tick(Record):
    """The clock of one partition of a keyed stage's table."""

    schema_name: ClassVar[str] = "opoi.Tick"

    stage: str
    """The stage."""
    partition: Int
    """Partition it is for."""
    partitions: Int
    """Partition count of the stage's table."""
    at: Timestamp
    """Time of the tick."""
    end_offsets: tuple[EndOffset, ...] = ()
    """End of this partition of every source, taken before the tick was sent."""


class TrainingExample(Record):
    """One version of one training row; the highest issue_number is live."""

    schema_name: ClassVar[str] = "opoi.TrainingExample"

    agent: str
    """Name of the agent."""
    account_id: str
    """Account that the decision is about."""
    decision_id: str
    """The decision, unique within its agent."""
    verdict_id: str
    """The verdict behind it."""
    revision: Int
    """Revision of that verdict, from 1."""
    arm: DatasetArm
    """The training set it belongs to."""
    round: Int = 1
    """Training round."""
    issue_number: Int = 1
    """Issue number of the case; grows with each closing of a case of the decision."""
    state: ExampleState
    """Live or withdrawn."""
    withdrawn_reason: str | None = None
    """Why, where withdrawn."""
    source: ExampleSource | None = None
    """Where the conversation came from; null where withdrawn."""
    replay_id: str | None = None
    """The replay it came from; null where it is the agent's own trace."""
    prompt_id: str | None = None
    """sha256 of the system prompt."""
    toolset_id: str | None = None
    """sha256 of the tool declarations."""
    turns: tuple[Turn, ...] = ()
    """The clean conversation."""
    action: Action | None = None
    """What it decides."""
    gap_class: GapClass | None = None
    """Null for approved decisions."""
    weight: float = 1.0
    """Weight of the row."""
    split: Split | None = None
    """Train or validation."""
    gate_set: str
    """Hash of the gate configuration that it passed."""
    lineage: tuple[LineageEntry, ...] = ()
    """What it came from."""
    made_at: Timestamp
    """Broker time of the case."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""


class TunedModel(Record):
    """One state of one tuning job."""

    schema_name: ClassVar[str] = "opoi.TunedModel"

    job_id: str
    """The tuning job."""
    agent: str
    """Name of the agent."""
    state: JobState
    """Its state."""
    base_model: str
    """Model it started from."""
    tuned_model: str | None = None
    """Name under which it is served."""
    export_id: str
    """Training set."""
    arm: DatasetArm
    """Which set."""
    round: Int = 1
    """Training round."""
    hyper_parameters_json: str = "{}"
    """As JSON."""
    statistics_json: str = "{}"
    """What the job reported, JSON."""
    error: str | None = None
    """Why it failed."""
    updated_at: Timestamp
    """When this state was seen."""
    caused_by: tuple[Cause, ...] = ()
    """The input records that led to this one; outside the identity."""
