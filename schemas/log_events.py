"""Every log event: what happened in words to grep, its level, its meaning, and what to do.

`make generate` writes the table in docs/log-events.md. The same event has the same fields everywhere. A
worker that ends by itself logs one more line, at the level critical: its text is the reason, and its exit
code (`streams.runtime.exit_codes`) says what to do.
"""

from schemas.log_event import LogEvent

# Something is unreachable: the worker waits, loses nothing, and continues by itself.

BROKER_UNREACHABLE = LogEvent(
    "broker unreachable, waiting",
    "warning",
    "The Kafka broker does not answer, or does not take what is written.",
    "restore the broker; `opoi doctor` checks the connection",
)
REGISTRY_UNREACHABLE = LogEvent(
    "registry unreachable, waiting",
    "warning",
    "The schema registry does not answer, or lacks a schema of this version.",
    "restore the registry; if `error` says that a schema is missing: `opoi schemas apply`",
)
CLICKHOUSE_UNREACHABLE = LogEvent(
    "ClickHouse unreachable, waiting",
    "warning",
    "ClickHouse does not answer, or refuses the connection; the sink holds its batch.",
    "restore ClickHouse; `opoi doctor` checks the connection",
)
REACHABLE = LogEvent("reachable again, continuing", "info", "The sink has everything that it waited for.")
DEPENDENCY_UNREACHABLE = LogEvent(
    "replay dependency unreachable, waiting",
    "warning",
    "Replays that need `target` wait: the model, an agent's own service, artifacts or the schema registry.",
    "restore what `target` and `url` name; `opoi doctor`",
)
DEPENDENCY_REACHABLE = LogEvent(
    "replay dependency reachable, continuing",
    "info",
    "A probe of `target` succeeded; what waited for it runs.",
)
TOPICS_UNKNOWN = LogEvent(
    "topics unknown to the broker, waiting",
    "warning",
    "A broker that has just started does not know every topic yet, so no partitions are assigned.",
    "if it lasts for minutes: `opoi topics check`",
)
TICK_FAILED = LogEvent(
    "tick failed, deadlines wait",
    "warning",
    "The ticker could not write a tick of `table`: broker or registry did not answer.",
    "restore what `error` names; the next tick makes up for it",
)

# The life of a worker

SINK_STARTED = LogEvent("sink started", "info", "The sink is about to join its group.")
WORKER_STOPPED = LogEvent("worker stopped", "info", "The worker ended on request; exit code 0.")
WORKER_PAUSED = LogEvent(
    "worker paused after the dead-letter limit",
    "warning",
    "It stopped because it refused most records (exit code 74); after the pause it tries one.",
    "`opoi sql dead_letters` says why; delete `file` to let records through again",
)
WORKER_FAILED = LogEvent("worker failed", "debug", "The traceback; the next line says why the worker ends.")
WORKER_DIED = LogEvent(
    "worker died",
    "error",
    "The parent process counted a death against the record in hand.",
    "`opoi logs STAGE`: the lines before; after three deaths the record is in `opoi sql dead_letters`",
)
EXIT_NOT_RECORDED = LogEvent(
    "worker exit not recorded",
    "error",
    "The parent process cannot write how the worker ended; the worker ends with exit code 77.",
    "free the disk of `OPOI_HOME`; `opoi doctor`",
)
THREAD_DIED = LogEvent(
    "thread died",
    "error",
    "A thread of the worker ended by an exception; the next line ends the process.",
    "restarted by itself; report the traceback if it repeats",
)
PROCESS_DIED = LogEvent(
    "process died",
    "critical",
    "An exception that nothing handles ends the process.",
    "restarted by itself; report the traceback if it repeats",
)

# Partitions and offsets

PARTITIONS_ASSIGNED = LogEvent("partitions assigned", "info", "The group gave this worker partitions.")
PARTITIONS_REVOKED = LogEvent(
    "partitions revoked", "info", "Partitions go to another worker; what was done is committed."
)
PARTITIONS_LOST = LogEvent(
    "partitions lost", "info", "Partitions went to another worker unasked; it repeats what was in hand."
)
REVOKED_RECORD = LogEvent(
    "record of a revoked partition skipped", "debug", "Another worker has its partition and reads it."
)
PAUSE_FAILED = LogEvent(
    "partitions not paused or resumed, retrying",
    "debug",
    "A rebalance is under way; repeated at the next poll.",
)
PARTITION_TRIED = LogEvent(
    "silent partition tried alone",
    "info",
    "A partition with records returned none for some seconds; a second consumer tries to read it.",
)
BATCH_NOT_SKIPPED = LogEvent(
    "unreadable batch not skipped, retrying",
    "warning",
    "librdkafka cannot read a batch, and the broker did not return its bytes for the dead letter.",
    "restore the broker; `opoi doctor` checks the connection",
)
OFFSET_COMMIT_FAILED = LogEvent(
    "offset commit failed, retrying",
    "warning",
    "The broker did not take a commit, or has not answered yet; after a crash more is repeated.",
    "if it lasts: `opoi doctor`, then the broker's log",
)
OFFSETS_UNKNOWN = LogEvent(
    "committed offsets unknown, records may repeat",
    "warning",
    "The broker did not answer; what was done beyond the committed offsets is done again.",
    "none needed: repeated records have the same ids",
)
OFFSET_PAST_END = LogEvent(
    "committed offset past the end, reading from the start",
    "error",
    "The topic was deleted and created again, so the group's offset means nothing.",
    "none needed; delete a topic only together with the offsets of its groups",
)
RECORDS_DELETED = LogEvent(
    "records deleted unread",
    "error",
    "The retention of the topic was shorter than the backlog: `offsets` records are lost.",
    "lengthen `retention_ms` in schemas/topics/ and run `opoi topics apply`, or add workers",
)
DELETIONS_UNKNOWN = LogEvent(
    "deletions of unread records unknown",
    "warning",
    "The broker did not say whether it deleted records before they were read.",
    "none needed; `opoi_retention_lost_offsets_total` lacks what was deleted meanwhile",
)
FETCH_CHECK_FAILED = LogEvent(
    "stalled fetch not checked", "debug", "The broker did not answer whether records wait; it is asked again."
)
WRONG_CHECKSUM = LogEvent(
    "batch with a wrong checksum, fetched again",
    "warning",
    "After three attempts its records go to the dead letters.",
    "check disk and network of the broker",
)

# Records

DEAD_LETTER_SENT = LogEvent(
    "record sent to dead letters",
    "warning",
    "The stage cannot process the record; `kind` and `error` say why.",
    "`opoi sql dead_letters`; docs/dispositions.md has the kinds",
)
RECORD_LEFT_OUT = LogEvent(
    "record left out",
    "error",
    "A record of a topic that every worker reads whole is unusable and has no effect.",
    "send it again, corrected; artifacts: `opoi agent register`",
)
FIELDS_NOT_LANDED = LogEvent(
    "fields not landed",
    "error",
    "A producer's schema has fields that this version has no column for.",
    "deploy the producer's version of opoi, `opoi migrate up`, read the topic again (docs/operations.md)",
)
SUBJECTS_UNKNOWN = LogEvent(
    "subjects of a schema unknown",
    "warning",
    "The registry does not say which subjects a schema has; records with it are decoded all the same.",
    "use a registry that lists the versions of a schema id",
)
RECORD_RELEASED = LogEvent(
    "record released", "info", "The worker stops or its partition is revoked; the record is read again."
)
BATCH_NOT_LANDED = LogEvent(
    "batch not landed, read again later",
    "warning",
    "The sink stops or loses partitions while ClickHouse, the registry or the broker is unreachable.",
    "restore what `error` names",
)
OUTPUTS_BROKEN = LogEvent(
    "outputs break their contract",
    "error",
    "A fault of opoi; the worker ends with exit code 70 and the death counts against the record.",
    "report the traceback; after three deaths the record is in `opoi sql dead_letters`",
)
TICK_REFUSED = LogEvent(
    "tick refused",
    "error",
    "A tick is unreadable or for another partition count; its deadlines wait for the next one.",
    "stop whatever else writes to the tick topic; restart the ticker after a change of partitions",
)

# Deadlines

DEADLINES_COLLECTED = LogEvent("deadlines collected", "info", "The table of a partition was read.")
DEADLINE_QUARANTINED = LogEvent(
    "deadline left alone, it killed the worker",
    "error",
    "This version of opoi does not try the deadline again; its key stays pending.",
    "upgrade; or, if the cause was elsewhere, delete `file` and restart the worker",
)
DEADLINE_TOO_LARGE = LogEvent(
    "deadline left alone, its outputs do not fit",
    "error",
    "What the deadline gives exceeds its topic; its key stays pending and is tried again after a restart.",
    "raise `max_message_bytes` of the topic, `opoi topics apply`, restart the worker",
)

# Replays

REPLAYS_PAUSED = LogEvent(
    "replays paused", "warning", "An operator paused replays: no run begins.", "`opoi replay resume`"
)
REPLAYS_RESUMED = LogEvent("replays resumed", "info", "An operator resumed replays.")
REPLAYS_FULL = LogEvent(
    "replay intake stopped, too many wait",
    "warning",
    "`waiting` requests wait for what is unreachable; no more are taken in until fewer do.",
    "restore what `opoi doctor` names, or let the deadlines pass",
)
RUN_FAILED = LogEvent(
    "run failed by a fault of opoi",
    "error",
    "The worker ends its other runs and stops; the death counts against the record.",
    "report the traceback; after three deaths the record is in `opoi sql dead_letters`",
)
RUNS_UNFINISHED = LogEvent(
    "runs unfinished, repeated later",
    "warning",
    "The time to drain was over before every run ended; the next owner repeats them.",
    "raise `OPOI_WORKER__STOP_SECONDS` if it happens at each stop",
)
TRACE_CHECK_FAILED = LogEvent(
    "trace check failed", "error", "A fault of opoi; the run counts as failed.", "report the traceback"
)

# Agents and tools

SERVICE_RUN_FAILED = LogEvent(
    "run failed by a fault of the service",
    "error",
    "An agent's service raised an exception; the run counts as failed.",
    "look at `at` in the service's code; `opoi agent check`",
)
CALLBACK_FAILED = LogEvent(
    "callback failed", "info", "The service could not call back; its status is polled instead."
)
TOOL_TIMED_OUT = LogEvent(
    "tool timed out", "warning", "A tool gave no answer in `seconds`.", "check what the tool calls"
)
TOOL_RAISED = LogEvent(
    "tool raised", "warning", "A tool raised an exception; the model got an error.", "check the tool's code"
)
SNAPSHOT_FAILED = LogEvent(
    "snapshot call failed",
    "warning",
    "A read of the snapshot failed; replays lack it.",
    "check what the tool calls",
)
NO_DECISION = LogEvent(
    "agent made no decision",
    "warning",
    "A simulated run ended without an action; no record is sent.",
    "check the model and the limits of the run",
)

# The local model

MODEL_TRAINING = LogEvent(
    "local model training started", "info", "Once per machine; the result is kept in `OPOI_CACHE`."
)
TUNING_FAILED = LogEvent("tuning job failed", "error", "A fault of the local model.", "report the traceback")

EVENTS = {name: one for name, one in globals().copy().items() if isinstance(one, LogEvent)}
"""Every event by the name of its constant, in the order of this module."""
