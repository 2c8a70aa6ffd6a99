-- Follows the Avro schemas.

CREATE TABLE IF NOT EXISTS cancellations_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `case_number` Int32 COMMENT 'Requests of this decision with a lower case number are not to be run.',
    `reason` String CODEC(ZSTD(1)) COMMENT 'Short stable code: what took the verdict\'s place.',
    `until` DateTime64(3, 'UTC') COMMENT 'Deadline of the last request that it cancels; it says nothing past that.',
    `cancelled_at` DateTime64(3, 'UTC') COMMENT 'Broker time of the review that led to it.',
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
ORDER BY (`agent`, toDate(_timestamp), `decision_id`, `case_number`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Replays that are no longer wanted, since another verdict counts now.';

ALTER TABLE cases_raw MODIFY COLUMN `arms` Array(Tuple(arm LowCardinality(String), tries Array(Tuple(replay_id String, strength Int32, sample Int32, status LowCardinality(Nullable(String)), hit Bool, misses Int32, failed_gate LowCardinality(Nullable(String)), trace_offset Nullable(Int64), trace Nullable(String), reason Nullable(String), followed Bool)), hits Int32, stop_reason LowCardinality(String), chosen_replay_id Nullable(String))) CODEC(ZSTD(1)) COMMENT 'What was run; empty where nothing was.';

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `control_sample` Bool COMMENT 'Whether every arm ran a fixed number of times; rates are compared among such cases only.' AFTER `closed_at`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `stop_reason` LowCardinality(Nullable(String)) COMMENT 'Why no more runs were asked for.' AFTER `control_sample`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `missing` Nullable(String) CODEC(ZSTD(1)) COMMENT 'What no longer runs, where the stop reason is `version_skew`.' AFTER `stop_reason`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_runs` Nullable(Int32) COMMENT 'What all its runs used; null where nothing was run: Runs that were counted.' AFTER `missing`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_attempts` Nullable(Int32) COMMENT 'What all its runs used; null where nothing was run: Model attempts, retries after 429 and 5xx included.' AFTER `spent_runs`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_tokens` Nullable(Int64) COMMENT 'What all its runs used; null where nothing was run: Tokens in and out, those of thought included.' AFTER `spent_attempts`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_seconds` Nullable(Float64) COMMENT 'What all its runs used; null where nothing was run: Wall-clock seconds of the runs, one after the other.' AFTER `spent_tokens`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_cost_micros` Nullable(Int64) COMMENT 'What all its runs used; null where nothing was run: Money in millionths of one US dollar; null where no run\'s model has a price in the settings.' AFTER `spent_seconds`;

ALTER TABLE cases_raw ADD COLUMN IF NOT EXISTS `spent_unpriced_runs` Nullable(Int32) COMMENT 'What all its runs used; null where nothing was run: Runs whose model has no price in the settings; while there are any, money is not bounded by them.' AFTER `spent_cost_micros`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `case_number` Int32 COMMENT 'Counts the cases of the decision; another verdict begins the next one.' AFTER `deadline_at`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_agent` LowCardinality(Nullable(String)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Name of the agent.' AFTER `case_number`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_account_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Account that the decision is about.' AFTER `verdict_agent`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_decision_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: The decision, unique within its agent.' AFTER `verdict_account_id`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_verdict_id` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: The verdict.' AFTER `verdict_decision_id`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_revision` Nullable(Int32) COMMENT 'The verdict, for arms that are told of it; null elsewhere: From 1; a later one supersedes.' AFTER `verdict_verdict_id`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_expert` LowCardinality(Nullable(String)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Pseudonym of the expert.' AFTER `verdict_revision`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_kind` LowCardinality(Nullable(String)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: What the expert said.' AFTER `verdict_expert`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_corrected_action_name` LowCardinality(Nullable(String)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: What the agent should have done; set where kind is `correct`: Name in the AgentSpec\'s action enumeration.' AFTER `verdict_kind`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_corrected_action_target` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: What the agent should have done; set where kind is `correct`: What it acts on, e.g. a campaign id; null where the action needs none.' AFTER `verdict_corrected_action_name`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_corrected_action_arguments_json` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: What the agent should have done; set where kind is `correct`: Arguments as canonical JSON (RFC 8785); money in integer minor units.' AFTER `verdict_corrected_action_target`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_rationale` Nullable(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Why, in the expert\'s words.' AFTER `verdict_corrected_action_arguments_json`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_rule_tag` LowCardinality(Nullable(String)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Tag of the rule that the expert applied.' AFTER `verdict_rationale`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_given_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'The verdict, for arms that are told of it; null elsewhere: When the verdict was given.' AFTER `verdict_rule_tag`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_outcome_known` Nullable(Bool) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Whether the expert already knew how the decision turned out.' AFTER `verdict_given_at`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `verdict_adjudicates` Array(String) CODEC(ZSTD(1)) COMMENT 'The verdict, for arms that are told of it; null elsewhere: Ids of the disagreeing verdicts that this one decides between.' AFTER `verdict_outcome_known`;

ALTER TABLE replay_requests_raw ADD COLUMN IF NOT EXISTS `turns` Array(Tuple(role LowCardinality(String), parts Array(Tuple(kind LowCardinality(String), text Nullable(String), call_id Nullable(String), tool LowCardinality(Nullable(String)), arguments_json Nullable(String), response_json Nullable(String), request_hash Nullable(String), fetched_at Nullable(DateTime64(3, 'UTC')), effect LowCardinality(Nullable(String)), answered_by LowCardinality(Nullable(String)), error Nullable(String), signature Nullable(String), is_oracle Bool)), log_probabilities Array(Tuple(token String, log_probability Float64)), finish_reason LowCardinality(Nullable(String)))) CODEC(ZSTD(1)) COMMENT 'The conversation that the run goes on from or judges; empty for arms that begin with the decision\'s own first turn.' AFTER `verdict_adjudicates`;

CREATE TABLE IF NOT EXISTS spending_raw
(
    `agent` LowCardinality(String) COMMENT 'Name of the agent.',
    `account_id` String CODEC(ZSTD(1)) COMMENT 'Account that the decision is about.',
    `decision_id` String CODEC(ZSTD(1)) COMMENT 'The decision, unique within its agent.',
    `replay_id` String CODEC(ZSTD(1)) COMMENT 'The replay that was run.',
    `arm` LowCardinality(String) COMMENT 'What kind of run.',
    `model` LowCardinality(String) COMMENT 'Model name.',
    `spent_runs` Int32 COMMENT 'What it used: Runs that were counted.',
    `spent_attempts` Int32 COMMENT 'What it used: Model attempts, retries after 429 and 5xx included.',
    `spent_tokens` Int64 COMMENT 'What it used: Tokens in and out, those of thought included.',
    `spent_seconds` Float64 COMMENT 'What it used: Wall-clock seconds of the runs, one after the other.',
    `spent_cost_micros` Nullable(Int64) COMMENT 'What it used: Money in millionths of one US dollar; null where no run\'s model has a price in the settings.',
    `spent_unpriced_runs` Int32 COMMENT 'What it used: Runs whose model has no price in the settings; while there are any, money is not bounded by them.',
    `spent_at` DateTime64(3, 'UTC') COMMENT 'End of the run; its UTC day is the one whose budget it counts against.',
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
ORDER BY (`agent`, toDate(_timestamp), `replay_id`, `spent_at`, `_topic_id`, `_partition`, `_offset`)
TTL toDateTime(_inserted_at) + toIntervalDay(360)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'What each model run used, so that the budgets of a day hold over all workers.';

ALTER TABLE traces_raw ADD COLUMN IF NOT EXISTS `case_number` Int32 COMMENT 'Case number of its request.' AFTER `finished_at`;

CREATE OR REPLACE VIEW cancellations AS
SELECT * FROM cancellations_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `case_number` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Replays that are no longer wanted, since another verdict counts now. One row per agent, decision_id, case_number.';

CREATE OR REPLACE VIEW cases AS
SELECT * FROM cases_raw
QUALIFY row_number() OVER (PARTITION BY `agent`, `decision_id`, `verdict_id`, `revision`, `round`, `issue_number` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Everything the sanitizer needs about one reviewed decision. One row per agent, decision_id, verdict_id, revision, round, issue_number.';

CREATE OR REPLACE VIEW replay_requests AS
SELECT * FROM replay_requests_raw
QUALIFY row_number() OVER (PARTITION BY `replay_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Model runs that reviews need. One row per replay_id.';

CREATE OR REPLACE VIEW spending AS
SELECT * FROM spending_raw
QUALIFY row_number() OVER (PARTITION BY `replay_id`, `spent_at` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'What each model run used, so that the budgets of a day hold over all workers. One row per replay_id, spent_at.';

CREATE OR REPLACE VIEW traces AS
SELECT * FROM traces_raw
QUALIFY row_number() OVER (PARTITION BY `replay_id` ORDER BY _offset, _partition, _topic_id, _inserted_at DESC) = 1
COMMENT 'Runs of the agent; of two with one replay_id the one with the lower offset counts. One row per replay_id.';
