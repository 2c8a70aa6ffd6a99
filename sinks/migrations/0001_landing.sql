-- Landing tables: one per topic, one row per Kafka coordinate.

CREATE TABLE IF NOT EXISTS agent_artifacts_raw
(
    `artifact_id` String CODEC(ZSTD(1)) COMMENT 'sha256 of the content, hexadecimal.',
    `kind` LowCardinality(String) COMMENT 'What it is.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `name` LowCardinality(String) COMMENT 'Name for people.',
    `version` String CODEC(ZSTD(1)) COMMENT 'Version for people.',
    `media_type` LowCardinality(String) COMMENT 'MIME type of the content.',
    `content` String CODEC(ZSTD(1)) COMMENT 'The content.',
    `registered_at` DateTime64(3, 'UTC') COMMENT 'When it was registered.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `artifact_id`, `_topic_id`, `_partition`, `_offset`)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'System prompts, tool declarations and AgentSpecs by content hash.';

CREATE TABLE IF NOT EXISTS agent_decisions_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `agent_version` LowCardinality(String) COMMENT 'Version of the agent.',
    `account_time_zone` LowCardinality(String) COMMENT 'IANA name; relative dates resolve in it.',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the account.',
    `attribution_setting` LowCardinality(Nullable(String)) COMMENT 'Attribution setting of the account\'s metrics.',
    `segment` LowCardinality(String) COMMENT 'Segment by the AgentSpec\'s rule, for drift and analysis.',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the agent decided.',
    `prompt_id` LowCardinality(String) COMMENT 'sha256 of the system prompt, an artifact.',
    `toolset_id` LowCardinality(String) COMMENT 'sha256 of the tool declarations, an artifact.',
    `spec_id` LowCardinality(String) COMMENT 'sha256 of the AgentSpec, an artifact.',
    `model` LowCardinality(String) COMMENT 'Model name.',
    `generation_config_json` String CODEC(ZSTD(1)) COMMENT 'Generation config, canonical JSON.',
    `input_json` String CODEC(ZSTD(1)) COMMENT 'What the agent was asked, canonical JSON.',
    `turns` Array(Tuple(
        role LowCardinality(String),
        parts Array(Tuple(
            kind LowCardinality(String),
            text Nullable(String),
            call_id Nullable(String),
            tool LowCardinality(Nullable(String)),
            arguments_json Nullable(String),
            response_json Nullable(String),
            request_hash Nullable(String),
            fetched_at Nullable(DateTime64(3, 'UTC')),
            effect LowCardinality(Nullable(String)),
            answered_by LowCardinality(Nullable(String)),
            error Nullable(String),
            signature Nullable(String),
            is_oracle Bool
        )),
        log_probabilities Array(Tuple(
            token String,
            log_probability Float64
        )),
        finish_reason LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'Every turn of the main run, the input first.',
    `sub_agent_runs` Array(Tuple(
        run_id String,
        parent_id Nullable(String),
        name LowCardinality(String),
        prompt_id LowCardinality(Nullable(String)),
        turns Array(Tuple(
            role LowCardinality(String),
            parts Array(Tuple(
                kind LowCardinality(String),
                text Nullable(String),
                call_id Nullable(String),
                tool LowCardinality(Nullable(String)),
                arguments_json Nullable(String),
                response_json Nullable(String),
                request_hash Nullable(String),
                fetched_at Nullable(DateTime64(3, 'UTC')),
                effect LowCardinality(Nullable(String)),
                answered_by LowCardinality(Nullable(String)),
                error Nullable(String),
                signature Nullable(String),
                is_oracle Bool
            )),
            log_probabilities Array(Tuple(
                token String,
                log_probability Float64
            )),
            finish_reason LowCardinality(Nullable(String))
        )),
        usage_input_tokens Nullable(Int64),
        usage_cached_tokens Nullable(Int64),
        usage_output_tokens Nullable(Int64),
        usage_thought_tokens Nullable(Int64),
        usage_model_calls Nullable(Int32),
        usage_tool_calls Nullable(Int32),
        usage_cost_micros Nullable(Int64),
        usage_cost_currency LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'Runs of sub-agents.',
    `snapshot` Array(Tuple(
        tool LowCardinality(String),
        arguments_json String,
        request_hash String,
        response_json String,
        fetched_at DateTime64(3, 'UTC')
    )) CODEC(ZSTD(1)) COMMENT 'The as-of snapshot; empty where none was taken.',
    `action_name` LowCardinality(String) COMMENT 'What the agent decided: Name in the AgentSpec\'s action enumeration.',
    `action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the agent decided: What it acts on, e.g. a campaign id; null where the action needs none.',
    `action_arguments_json` String CODEC(ZSTD(1)) COMMENT 'What the agent decided: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `rationale` String CODEC(ZSTD(1)) COMMENT 'Why, in its words.',
    `usage_input_tokens` Nullable(Int64) COMMENT 'What the run used: Prompt tokens over all calls.',
    `usage_cached_tokens` Nullable(Int64) COMMENT 'What the run used: Prompt tokens served from a cache.',
    `usage_output_tokens` Nullable(Int64) COMMENT 'What the run used: Generated tokens.',
    `usage_thought_tokens` Nullable(Int64) COMMENT 'What the run used: Tokens of thought.',
    `usage_model_calls` Int32 COMMENT 'What the run used: Calls of the model.',
    `usage_tool_calls` Int32 COMMENT 'What the run used: Calls of tools.',
    `usage_cost_micros` Nullable(Int64) COMMENT 'What the run used: Cost in millionths of one unit of `cost_currency`; null where no price is known.',
    `usage_cost_currency` LowCardinality(Nullable(String)) COMMENT 'What the run used: ISO 4217 code.',
    `finish_reason` LowCardinality(Nullable(String)) COMMENT 'Why the last generation stopped.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Decisions of the production agent, whole.';

CREATE TABLE IF NOT EXISTS expert_verdicts_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict.',
    `revision` Int32 COMMENT 'From 1; a later one supersedes.',
    `expert` LowCardinality(String) COMMENT 'Pseudonym of the expert.',
    `kind` LowCardinality(String) COMMENT 'What the expert said.',
    `corrected_action_name` LowCardinality(Nullable(String)) COMMENT 'What the agent should have done; set where kind is `correct`: Name in the AgentSpec\'s action enumeration.',
    `corrected_action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the agent should have done; set where kind is `correct`: What it acts on, e.g. a campaign id; null where the action needs none.',
    `corrected_action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the agent should have done; set where kind is `correct`: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `rationale` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Why, in the expert\'s words.',
    `rule_tag` LowCardinality(Nullable(String)) COMMENT 'Tag of the rule that the expert applied.',
    `given_at` DateTime64(3, 'UTC') COMMENT 'When the verdict was given.',
    `outcome_known` Bool COMMENT 'Whether the expert already knew how the decision turned out.',
    `adjudicates` Array(String) CODEC(ZSTD(1)) COMMENT 'Ids of the disagreeing verdicts that this one decides between.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `verdict_id`, `revision`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'What experts said of decisions; a later revision supersedes.';

CREATE TABLE IF NOT EXISTS alerts_raw
(
    `fingerprint` String CODEC(ZSTD(1)) COMMENT 'Hash of the labels.',
    `name` LowCardinality(String) COMMENT 'Name of the alert.',
    `state` LowCardinality(String) COMMENT 'The new state.',
    `labels` Map(String, String) CODEC(ZSTD(1)) COMMENT 'Labels.',
    `annotations` Map(String, String) CODEC(ZSTD(1)) COMMENT 'Annotations.',
    `value` Nullable(Float64) COMMENT 'The statistic.',
    `threshold` Nullable(Float64) COMMENT 'Its threshold.',
    `starts_at` DateTime64(3, 'UTC') COMMENT 'When it began.',
    `ends_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended.',
    `generator_url` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Where to look.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (toDate(_timestamp), `fingerprint`, `state`, `starts_at`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Changes of state of alerts.';

CREATE TABLE IF NOT EXISTS cases_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict that the case belongs to.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `round` Int32 COMMENT 'Training round.',
    `issue_number` Int32 COMMENT 'Counts the closings of cases of this decision, over all its verdicts.',
    `status` LowCardinality(String) COMMENT 'How it was closed.',
    `review` String CODEC(ZSTD(1)) COMMENT 'The framed Review.',
    `unhinted_request_hash` Nullable(String) CODEC(ZSTD(1)) COMMENT 'sha256 of the canonical request without an oracle; null where nothing was replayed.',
    `arms` Array(Tuple(
        arm LowCardinality(String),
        tries Array(Tuple(
            replay_id String,
            strength Int32,
            sample Int32,
            status LowCardinality(Nullable(String)),
            hit Bool,
            misses Int32,
            failed_gate LowCardinality(Nullable(String)),
            trace_offset Nullable(Int64),
            trace Nullable(String)
        )),
        hits Int32,
        stop_reason LowCardinality(String),
        chosen_replay_id Nullable(String)
    )) CODEC(ZSTD(1)) COMMENT 'What was run; empty where nothing was.',
    `closed_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the input that closed it.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `verdict_id`, `revision`, `round`, `issue_number`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Everything the sanitizer needs about one reviewed decision.';

CREATE TABLE IF NOT EXISTS dead_letters_raw
(
    `stage` LowCardinality(String) COMMENT 'Stage that gave the record up.',
    `topic` LowCardinality(String) COMMENT 'Logical topic that the record stood in.',
    `partition` Int32 COMMENT 'Its partition there.',
    `offset` Int64 COMMENT 'Its offset there.',
    `timestamp` DateTime64(3, 'UTC') COMMENT 'Its Kafka timestamp there.',
    `error_type` LowCardinality(String) COMMENT 'Short stable code of the error.',
    `error` String CODEC(ZSTD(1)) COMMENT 'The error, its first 512 bytes.',
    `app_version` LowCardinality(String) COMMENT 'Version of opoi that gave it up.',
    `first_failed_at` DateTime64(3, 'UTC') COMMENT 'When it failed first.',
    `replays` Int32 COMMENT 'How often it was sent again before.',
    `value` String CODEC(ZSTD(1)) COMMENT 'The original bytes.',
    `headers` Map(String, String) CODEC(ZSTD(1)) COMMENT 'Every header as it came.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (toDate(_timestamp), `stage`, `topic`, `partition`, `offset`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'What a stage could not process: the original bytes as value, everything else in headers.';

CREATE TABLE IF NOT EXISTS dispositions_raw
(
    `stage` LowCardinality(String) COMMENT 'The stage.',
    `topic` LowCardinality(String) COMMENT 'Logical topic of the input.',
    `partition` Int32 COMMENT 'Its partition.',
    `offset` Int64 COMMENT 'Its offset.',
    `id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Id of the record; null where it could not be read.',
    `outcome` LowCardinality(String) COMMENT 'What became of it.',
    `reason` String CODEC(ZSTD(1)) COMMENT 'Short stable code.',
    `recorded_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the input that decided it.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (toDate(_timestamp), `stage`, `topic`, `partition`, `offset`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'What became of each input at each stage.';

CREATE TABLE IF NOT EXISTS drift_references_raw
(
    `reference_id` String CODEC(ZSTD(1)) COMMENT 'Content hash.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `model` LowCardinality(String) COMMENT 'Model that it holds for.',
    `method` LowCardinality(String) COMMENT 'Score that it is of.',
    `first_day` String CODEC(ZSTD(1)) COMMENT 'First day, ISO 8601.',
    `last_day` String CODEC(ZSTD(1)) COMMENT 'Last day, ISO 8601.',
    `segments` Array(String) CODEC(ZSTD(1)) COMMENT 'Segments in it.',
    `values_json` String CODEC(ZSTD(1)) COMMENT 'Per segment the daily values, JSON.',
    `frozen_at` DateTime64(3, 'UTC') COMMENT 'When.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `reference_id`, `_topic_id`, `_partition`, `_offset`)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Frozen references of the drift monitor.';

CREATE TABLE IF NOT EXISTS eval_sets_raw
(
    `eval_set_id` String CODEC(ZSTD(1)) COMMENT 'Content hash.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `name` LowCardinality(String) COMMENT 'Name for people.',
    `decision_ids` Array(String) CODEC(ZSTD(1)) COMMENT 'Decisions whose prompts are in it.',
    `frozen_at` DateTime64(3, 'UTC') COMMENT 'When.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `eval_set_id`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Frozen sets of held-out prompts.';

CREATE TABLE IF NOT EXISTS evaluations_raw
(
    `eval_item_id` String CODEC(ZSTD(1)) COMMENT 'Item of the evaluation set.',
    `eval_set_id` String CODEC(ZSTD(1)) COMMENT 'The set.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'Decision whose prompt it is.',
    `model` LowCardinality(String) COMMENT 'Model name.',
    `run` Int32 COMMENT 'From 0.',
    `arm` LowCardinality(Nullable(String)) COMMENT 'Training set of the model; null: the base.',
    `status` LowCardinality(String) COMMENT 'How the run ended.',
    `action_name` LowCardinality(Nullable(String)) COMMENT 'What it decided: Name in the AgentSpec\'s action enumeration.',
    `action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decided: What it acts on, e.g. a campaign id; null where the action needs none.',
    `action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decided: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `matches_expert` Nullable(Bool) COMMENT 'Whether the action is the expert\'s.',
    `log_probability_sum` Nullable(Float64) COMMENT 'Over its generated tokens, nats.',
    `token_count` Nullable(Int64) COMMENT 'Generated tokens with a log-probability.',
    `turns` Array(Tuple(
        role LowCardinality(String),
        parts Array(Tuple(
            kind LowCardinality(String),
            text Nullable(String),
            call_id Nullable(String),
            tool LowCardinality(Nullable(String)),
            arguments_json Nullable(String),
            response_json Nullable(String),
            request_hash Nullable(String),
            fetched_at Nullable(DateTime64(3, 'UTC')),
            effect LowCardinality(Nullable(String)),
            answered_by LowCardinality(Nullable(String)),
            error Nullable(String),
            signature Nullable(String),
            is_oracle Bool
        )),
        log_probabilities Array(Tuple(
            token String,
            log_probability Float64
        )),
        finish_reason LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'The run.',
    `evaluated_at` DateTime64(3, 'UTC') COMMENT 'When.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `eval_item_id`, `model`, `run`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Runs of models on held-out prompts.';

CREATE TABLE IF NOT EXISTS exports_raw
(
    `export_id` String CODEC(ZSTD(1)) COMMENT 'Content hash of the rows.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `arm` LowCardinality(String) COMMENT 'Which set.',
    `round` Int32 COMMENT 'Training round.',
    `gate_set` LowCardinality(String) COMMENT 'Gate configuration of its rows.',
    `cuts` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64
    )) CODEC(ZSTD(1)) COMMENT 'What was read.',
    `example_ids` Array(String) CODEC(ZSTD(1)) COMMENT 'Rows in it.',
    `rows` Int64 COMMENT 'Number of rows.',
    `uri` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Where it was written.',
    `exported_at` DateTime64(3, 'UTC') COMMENT 'When.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `export_id`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Training sets that were taken out.';

CREATE TABLE IF NOT EXISTS gap_reports_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict that the case belongs to.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `round` Int32 COMMENT 'Training round.',
    `gap_class` LowCardinality(String) COMMENT 'The class.',
    `unhinted_runs` Int32 COMMENT 'Un-hinted runs that ended.',
    `unhinted_hits` Int32 COMMENT 'Of these, how many reached the expert\'s action.',
    `hinted_runs` Int32 COMMENT 'Hinted runs that ended.',
    `hinted_hits` Int32 COMMENT 'Of these, how many reached it.',
    `missed_runs` Int32 COMMENT 'Hinted runs with a tool call that nothing recorded could answer.',
    `missing_fact_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The fact that the agent lacked, as structure, where the class is architecture_gap.',
    `reported_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the case.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `verdict_id`, `revision`, `round`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'The gap class of each corrected verdict.';

CREATE TABLE IF NOT EXISTS gate_records_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict that the case belongs to.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `round` Int32 COMMENT 'Training round.',
    `arm` LowCardinality(String) COMMENT 'Replay arm or dataset arm that was judged.',
    `replay_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The replay; null where the agent\'s own trace was judged.',
    `gate` LowCardinality(String) COMMENT 'Name of the gate.',
    `gate_version` LowCardinality(String) COMMENT 'Version of the gate.',
    `gate_set` LowCardinality(String) COMMENT 'Hash of the gate configuration.',
    `outcome` LowCardinality(String) COMMENT 'What it said.',
    `reason_code` LowCardinality(String) COMMENT 'Short stable code; `ok` where it passed.',
    `evidence_json` String CODEC(ZSTD(1)) COMMENT 'Evidence as JSON.',
    `metrics` Map(String, Float64) CODEC(ZSTD(1)) COMMENT 'Figures that the gate computed.',
    `input_hash` String CODEC(ZSTD(1)) COMMENT 'sha256 of what it looked at.',
    `recorded_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the case.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1,
    INDEX replay_id replay_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `verdict_id`, `revision`, `round`, `arm`, `gate`, `gate_set`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'One record per decision of a gate.';

CREATE TABLE IF NOT EXISTS models_raw
(
    `job_id` String CODEC(ZSTD(1)) COMMENT 'The tuning job.',
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `state` LowCardinality(String) COMMENT 'Its state.',
    `base_model` LowCardinality(String) COMMENT 'Model it started from.',
    `tuned_model` LowCardinality(Nullable(String)) COMMENT 'Name under which it is served.',
    `export_id` String CODEC(ZSTD(1)) COMMENT 'Training set.',
    `arm` LowCardinality(String) COMMENT 'Which set.',
    `round` Int32 COMMENT 'Training round.',
    `hyper_parameters_json` String CODEC(ZSTD(1)) COMMENT 'As JSON.',
    `statistics_json` String CODEC(ZSTD(1)) COMMENT 'What the job reported, JSON.',
    `error` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Why it failed.',
    `updated_at` DateTime64(3, 'UTC') COMMENT 'When this state was seen.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.'
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `job_id`, `state`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'States of tuning jobs.';

CREATE TABLE IF NOT EXISTS ood_scores_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `segment` LowCardinality(String) COMMENT 'Segment of the decision.',
    `base_model` LowCardinality(String) COMMENT 'Base model.',
    `tuned_model` LowCardinality(Nullable(String)) COMMENT 'Tuned model; null where only one is scored.',
    `method` LowCardinality(String) COMMENT 'Name of the score: self_conf, llr, action_llr.',
    `base_scores` Array(Tuple(
        kind LowCardinality(String),
        log_probability_sum Float64,
        token_count Int64
    )) CODEC(ZSTD(1)) COMMENT 'Under the base model.',
    `tuned_scores` Array(Tuple(
        kind LowCardinality(String),
        log_probability_sum Float64,
        token_count Int64
    )) CODEC(ZSTD(1)) COMMENT 'Under the tuned model.',
    `log_likelihood_ratio` Nullable(Float64) COMMENT 'log p_base(x) - log p_tuned(x) on the same text, nats; null where not both were scored.',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'When the agent decided.',
    `scored_at` DateTime64(3, 'UTC') COMMENT 'When it was scored.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `base_model`, `method`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Scores of production decisions under pairs of models.';

CREATE TABLE IF NOT EXISTS rejections_raw
(
    `stage` LowCardinality(String) COMMENT 'The stage.',
    `agent` LowCardinality(Nullable(String)) COMMENT 'Name of the agent.',
    `account_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Account.',
    `decision_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The decision.',
    `verdict_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict.',
    `revision` Nullable(Int32) COMMENT 'Its revision.',
    `arm` LowCardinality(Nullable(String)) COMMENT 'The arm, where one was refused.',
    `replay_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The replay, where one was refused.',
    `gate` LowCardinality(String) COMMENT 'The gate or rule.',
    `reason_code` LowCardinality(String) COMMENT 'Short stable code.',
    `reason` String CODEC(ZSTD(1)) COMMENT 'What was wrong, the actual value, the limit, what to do next.',
    `evidence_json` String CODEC(ZSTD(1)) COMMENT 'Evidence as JSON.',
    `rejected_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the refused input.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1,
    INDEX replay_id replay_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (toDate(_timestamp), `stage`, `gate`, `reason_code`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'What stages refused, by which gate, and why.';

CREATE TABLE IF NOT EXISTS replay_requests_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict that the case belongs to.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `replay_id` String CODEC(ZSTD(1)) COMMENT 'uuid5 of agent, decision, verdict, revision, arm, strength, sample and target agent version.',
    `arm` LowCardinality(String) COMMENT 'What kind of run.',
    `strength` Int32 COMMENT '0: no oracle; 1: action only; 2: action and where to look.',
    `sample` Int32 COMMENT 'From 0.',
    `target_agent_version` LowCardinality(String) COMMENT 'Which agent runs: Version of the agent.',
    `target_prompt_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the system prompt.',
    `target_toolset_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the tool declarations.',
    `target_spec_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the AgentSpec.',
    `target_model` LowCardinality(String) COMMENT 'Which agent runs: Model name.',
    `target_endpoint` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Which agent runs: Where an agent over HTTP is served; null: the built-in runtime.',
    `target_generation_config_json` String CODEC(ZSTD(1)) COMMENT 'Which agent runs: Generation config with the thinking setting, canonical JSON.',
    `oracle` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The oracle\'s text, as one user part; null where there is none.',
    `decision` String CODEC(ZSTD(1)) COMMENT 'The framed AgentDecision as it came.',
    `budget_max_turns` Int32 COMMENT 'Its bounds: Model calls.',
    `budget_max_output_tokens` Int32 COMMENT 'Its bounds: Generated tokens over all calls.',
    `budget_max_seconds` Int32 COMMENT 'Its bounds: Wall-clock seconds.',
    `budget_max_cost_micros` Nullable(Int64) COMMENT 'Its bounds: Millionths of one currency unit; null: not bounded.',
    `requested_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the input that led to it.',
    `deadline_at` DateTime64(3, 'UTC') COMMENT 'After this its result is of no use.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1,
    INDEX replay_id replay_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `replay_id`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Model runs that reviews need.';

CREATE TABLE IF NOT EXISTS reviews_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `status` LowCardinality(String) COMMENT 'What the join found.',
    `verdict_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict; null where there is none.',
    `revision` Nullable(Int32) COMMENT 'Its revision.',
    `decision` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The framed AgentDecision as it came, byte for byte.',
    `verdict_agent` LowCardinality(Nullable(String)) COMMENT 'The verdict that counts: Name of the agent.',
    `verdict_account_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: Account that the decision is about.',
    `verdict_decision_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: The decision, unique within its agent.',
    `verdict_verdict_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: The verdict.',
    `verdict_revision` Nullable(Int32) COMMENT 'The verdict that counts: From 1; a later one supersedes.',
    `verdict_expert` LowCardinality(Nullable(String)) COMMENT 'The verdict that counts: Pseudonym of the expert.',
    `verdict_kind` LowCardinality(Nullable(String)) COMMENT 'The verdict that counts: What the expert said.',
    `verdict_corrected_action_name` LowCardinality(Nullable(String)) COMMENT 'The verdict that counts: What the agent should have done; set where kind is `correct`: Name in the AgentSpec\'s action enumeration.',
    `verdict_corrected_action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: What the agent should have done; set where kind is `correct`: What it acts on, e.g. a campaign id; null where the action needs none.',
    `verdict_corrected_action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: What the agent should have done; set where kind is `correct`: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `verdict_rationale` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: Why, in the expert\'s words.',
    `verdict_rule_tag` LowCardinality(Nullable(String)) COMMENT 'The verdict that counts: Tag of the rule that the expert applied.',
    `verdict_given_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'The verdict that counts: When the verdict was given.',
    `verdict_outcome_known` Nullable(Bool) COMMENT 'The verdict that counts: Whether the expert already knew how the decision turned out.',
    `verdict_adjudicates` Array(String) CODEC(ZSTD(1)) COMMENT 'The verdict that counts: Ids of the disagreeing verdicts that this one decides between.',
    `conflicting_verdict_ids` Array(String) CODEC(ZSTD(1)) COMMENT 'The verdicts that disagree, where status is `conflict`.',
    `split` LowCardinality(Nullable(String)) COMMENT 'Null where the decision is missing.',
    `time_to_verdict_ms` Nullable(Int64) COMMENT 'From decided_at to given_at, milliseconds.',
    `reviewed_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the input that completed it.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `status`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Decisions joined with the verdict that counts, or what is missing of the pair.';

CREATE TABLE IF NOT EXISTS traces_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict that the case belongs to.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `replay_id` String CODEC(ZSTD(1)) COMMENT 'uuid5 of agent, decision, verdict, revision, arm, strength, sample and target agent version.',
    `arm` LowCardinality(String) COMMENT 'What kind of run.',
    `strength` Int32 COMMENT '0: no oracle; 1: action only; 2: action and where to look.',
    `sample` Int32 COMMENT 'From 0.',
    `target_agent_version` LowCardinality(String) COMMENT 'Which agent runs: Version of the agent.',
    `target_prompt_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the system prompt.',
    `target_toolset_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the tool declarations.',
    `target_spec_id` LowCardinality(String) COMMENT 'Which agent runs: sha256 of the AgentSpec.',
    `target_model` LowCardinality(String) COMMENT 'Which agent runs: Model name.',
    `target_endpoint` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Which agent runs: Where an agent over HTTP is served; null: the built-in runtime.',
    `target_generation_config_json` String CODEC(ZSTD(1)) COMMENT 'Which agent runs: Generation config with the thinking setting, canonical JSON.',
    `status` LowCardinality(String) COMMENT 'How it ended.',
    `reason` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Why, where not completed.',
    `turns` Array(Tuple(
        role LowCardinality(String),
        parts Array(Tuple(
            kind LowCardinality(String),
            text Nullable(String),
            call_id Nullable(String),
            tool LowCardinality(Nullable(String)),
            arguments_json Nullable(String),
            response_json Nullable(String),
            request_hash Nullable(String),
            fetched_at Nullable(DateTime64(3, 'UTC')),
            effect LowCardinality(Nullable(String)),
            answered_by LowCardinality(Nullable(String)),
            error Nullable(String),
            signature Nullable(String),
            is_oracle Bool
        )),
        log_probabilities Array(Tuple(
            token String,
            log_probability Float64
        )),
        finish_reason LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'Every turn, the input first; the oracle\'s part marked.',
    `sub_agent_runs` Array(Tuple(
        run_id String,
        parent_id Nullable(String),
        name LowCardinality(String),
        prompt_id LowCardinality(Nullable(String)),
        turns Array(Tuple(
            role LowCardinality(String),
            parts Array(Tuple(
                kind LowCardinality(String),
                text Nullable(String),
                call_id Nullable(String),
                tool LowCardinality(Nullable(String)),
                arguments_json Nullable(String),
                response_json Nullable(String),
                request_hash Nullable(String),
                fetched_at Nullable(DateTime64(3, 'UTC')),
                effect LowCardinality(Nullable(String)),
                answered_by LowCardinality(Nullable(String)),
                error Nullable(String),
                signature Nullable(String),
                is_oracle Bool
            )),
            log_probabilities Array(Tuple(
                token String,
                log_probability Float64
            )),
            finish_reason LowCardinality(Nullable(String))
        )),
        usage_input_tokens Nullable(Int64),
        usage_cached_tokens Nullable(Int64),
        usage_output_tokens Nullable(Int64),
        usage_thought_tokens Nullable(Int64),
        usage_model_calls Nullable(Int32),
        usage_tool_calls Nullable(Int32),
        usage_cost_micros Nullable(Int64),
        usage_cost_currency LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'Runs of sub-agents.',
    `action_name` LowCardinality(Nullable(String)) COMMENT 'What it decided: Name in the AgentSpec\'s action enumeration.',
    `action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decided: What it acts on, e.g. a campaign id; null where the action needs none.',
    `action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decided: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `rationale` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Why, in its words.',
    `misses` Int32 COMMENT 'Tool calls that nothing recorded could answer.',
    `intended_writes` Array(Tuple(
        tool LowCardinality(String),
        arguments_json String
    )) CODEC(ZSTD(1)) COMMENT 'Writes it would have made.',
    `usage_input_tokens` Nullable(Int64) COMMENT 'What it used: Prompt tokens over all calls.',
    `usage_cached_tokens` Nullable(Int64) COMMENT 'What it used: Prompt tokens served from a cache.',
    `usage_output_tokens` Nullable(Int64) COMMENT 'What it used: Generated tokens.',
    `usage_thought_tokens` Nullable(Int64) COMMENT 'What it used: Tokens of thought.',
    `usage_model_calls` Int32 COMMENT 'What it used: Calls of the model.',
    `usage_tool_calls` Int32 COMMENT 'What it used: Calls of tools.',
    `usage_cost_micros` Nullable(Int64) COMMENT 'What it used: Cost in millionths of one unit of `cost_currency`; null where no price is known.',
    `usage_cost_currency` LowCardinality(Nullable(String)) COMMENT 'What it used: ISO 4217 code.',
    `attempts` Int32 COMMENT 'Model attempts, retries after 429 and 5xx included.',
    `started_at` DateTime64(3, 'UTC') COMMENT 'Start of the run.',
    `finished_at` DateTime64(3, 'UTC') COMMENT 'End of the run.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1,
    INDEX replay_id replay_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `replay_id`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Runs of the agent; of two with one replay_id the one with the lower offset counts.';

CREATE TABLE IF NOT EXISTS training_examples_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `verdict_id` String CODEC(ZSTD(1)) COMMENT 'The verdict behind it.',
    `revision` Int32 COMMENT 'Revision of that verdict, from 1.',
    `arm` LowCardinality(String) COMMENT 'The training set it belongs to.',
    `round` Int32 COMMENT 'Training round.',
    `issue_number` Int32 COMMENT 'Issue number of the case; grows with each closing of a case of the decision.',
    `state` LowCardinality(String) COMMENT 'Live or withdrawn.',
    `withdrawn_reason` Nullable(String) CODEC(ZSTD(1)) COMMENT 'Why, where withdrawn.',
    `source` LowCardinality(Nullable(String)) COMMENT 'Where the conversation came from; null where withdrawn.',
    `replay_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The replay it came from; null where it is the agent\'s own trace.',
    `prompt_id` LowCardinality(Nullable(String)) COMMENT 'sha256 of the system prompt.',
    `toolset_id` LowCardinality(Nullable(String)) COMMENT 'sha256 of the tool declarations.',
    `turns` Array(Tuple(
        role LowCardinality(String),
        parts Array(Tuple(
            kind LowCardinality(String),
            text Nullable(String),
            call_id Nullable(String),
            tool LowCardinality(Nullable(String)),
            arguments_json Nullable(String),
            response_json Nullable(String),
            request_hash Nullable(String),
            fetched_at Nullable(DateTime64(3, 'UTC')),
            effect LowCardinality(Nullable(String)),
            answered_by LowCardinality(Nullable(String)),
            error Nullable(String),
            signature Nullable(String),
            is_oracle Bool
        )),
        log_probabilities Array(Tuple(
            token String,
            log_probability Float64
        )),
        finish_reason LowCardinality(Nullable(String))
    )) CODEC(ZSTD(1)) COMMENT 'The clean conversation.',
    `action_name` LowCardinality(Nullable(String)) COMMENT 'What it decides: Name in the AgentSpec\'s action enumeration.',
    `action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decides: What it acts on, e.g. a campaign id; null where the action needs none.',
    `action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What it decides: Arguments as canonical JSON (RFC 8785); money in integer minor units.',
    `gap_class` LowCardinality(Nullable(String)) COMMENT 'Null for approved decisions.',
    `weight` Float64 COMMENT 'Weight of the row.',
    `split` LowCardinality(Nullable(String)) COMMENT 'Train or validation.',
    `gate_set` LowCardinality(String) COMMENT 'Hash of the gate configuration that it passed.',
    `lineage` Array(Tuple(
        kind LowCardinality(String),
        id String,
        hash Nullable(String)
    )) CODEC(ZSTD(1)) COMMENT 'What it came from.',
    `made_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the case.',
    `caused_by` Array(Tuple(
        topic LowCardinality(String),
        partition Int32,
        offset Int64,
        id String
    )) CODEC(ZSTD(1)) COMMENT 'The input records that led to this one; outside the identity.',
    `_topic_id` UUID COMMENT 'Kafka\'s own id of the topic.',
    `_topic` LowCardinality(String) COMMENT 'Logical name of the topic.',
    `_partition` Int32 COMMENT 'Kafka partition.',
    `_offset` Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset.',
    `_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Kafka timestamp.',
    `_key` String CODEC(ZSTD(1)) COMMENT 'Message key; empty where there is none.',
    `_schema_id` Int32 COMMENT 'Registry\'s id of the writer\'s schema; 0 for raw bytes.',
    `_inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was landed.',
    INDEX decision_id decision_id TYPE bloom_filter GRANULARITY 1,
    INDEX replay_id replay_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_inserted_at)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `arm`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(1460)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Training rows and their withdrawals; the highest issue number is live.';
